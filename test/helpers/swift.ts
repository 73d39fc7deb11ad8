/**
 * A real S3 server: OpenStack Swift with its s3api, from Debian packages (swift-proxy swift-account
 * swift-container swift-object), on free ports of this machine and without any service of the system.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { userInfo, tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3'
import { owned } from './children.js'
import { freePort, waitFor } from './servers.js'

const PARTS = ['account', 'container', 'object'] as const
const PIPELINE =
  'catch_errors proxy-logging cache listing_formats bulk s3api tempauth slo dlo copy proxy-server'

export const hasSwift = ['proxy', ...PARTS].every((part) =>
  existsSync(`/usr/bin/swift-${part}-server`),
)

export interface Swift {
  readonly port: number
  /** For rrep. */
  readonly env: Readonly<Record<string, string>>
  readonly client: S3Client
  makeBucket(name: string): Promise<void>
  /** Keys of uploads that nobody ended. */
  openUploads(bucket: string): Promise<readonly string[]>
  stop(): Promise<void>
}

export async function startSwift(): Promise<Swift> {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-swift-'))
  const children: ChildProcess[] = []
  const common = [`swift_dir = ${dir}`, `user = ${userInfo().username}`, 'workers = 0']
  const conf = (name: string, ...lines: readonly string[]): void =>
    writeFileSync(join(dir, `${name}.conf`), `${lines.join('\n')}\n`)
  mkdirSync(join(dir, 'node', 'sda'), { recursive: true })
  conf('swift', '[swift-hash]', 'swift_hash_path_suffix = rrep', 'swift_hash_path_prefix = rrep')
  const start = (part: string): void => {
    const env = { ...process.env, SWIFT_CONF: join(dir, 'swift.conf') }
    const path = `/usr/bin/swift-${part}-server`
    children.push(
      owned(spawn(path, [join(dir, `${part}.conf`)], { cwd: dir, env, stdio: 'ignore' })),
    )
  }
  for (const part of PARTS) {
    const port = await freePort()
    const ring = (...args: readonly string[]): Buffer =>
      execFileSync('swift-ring-builder', [`${part}.builder`, ...args], { cwd: dir })
    ring('create', '8', '1', '1')
    const device = `--region 1 --zone 1 --ip 127.0.0.1 --port ${port} --device sda --weight 1`
    ring('add', ...device.split(' '))
    ring('rebalance')
    const listen = ['[DEFAULT]', 'bind_ip = 127.0.0.1', `bind_port = ${port}`, ...common]
    const app = [`[app:${part}-server]`, `use = egg:swift#${part}`]
    const disk = ['mount_check = false', `devices = ${join(dir, 'node')}`]
    conf(part, ...listen, ...disk, '[pipeline:main]', `pipeline = ${part}-server`, ...app)
    start(part)
  }
  const port = await freePort()
  const filters = PIPELINE.split(' ').slice(0, -1)
  conf(
    'proxy',
    ...['[DEFAULT]', 'bind_ip = 127.0.0.1', `bind_port = ${port}`, ...common],
    ...['[pipeline:main]', `pipeline = ${PIPELINE}`],
    ...['[app:proxy-server]', 'use = egg:swift#proxy', 'account_autocreate = true'],
    ...filters.flatMap((name) => {
      const egg = name === 'cache' ? 'memcache' : name.replace('-', '_')
      const users =
        name === 'tempauth' ? ['user_test_tester = testing .admin', 'user_test_guest = guest'] : []
      return [`[filter:${name}]`, `use = egg:swift#${egg}`, ...users]
    }),
  )
  start('proxy')
  const env = envOf(port)
  const client = new S3Client({
    endpoint: env['AWS_ENDPOINT_URL']!,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test:tester', secretAccessKey: 'testing' },
    forcePathStyle: true,
    requestChecksumCalculation: 'WHEN_REQUIRED',
  })
  await waitFor(
    async () =>
      await fetch(env['AWS_ENDPOINT_URL']!).then(
        () => true,
        () => false,
      ),
    { what: 'Swift' },
  )
  return {
    port,
    env,
    client,
    makeBucket: async (Bucket) => {
      await client.send(new CreateBucketCommand({ Bucket }))
    },
    openUploads: async (Bucket) => {
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket }))
      return Uploads.map(({ Key }) => Key ?? '')
    },
    stop: async () => {
      client.destroy()
      await Promise.all(
        children.map(
          async (child) =>
            await new Promise((resolve) => {
              child.once('exit', resolve)
              child.kill('SIGKILL')
            }),
        ),
      )
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

export function envOf(port: number): Record<string, string> {
  return {
    AWS_ENDPOINT_URL: `http://127.0.0.1:${port}`,
    AWS_ACCESS_KEY_ID: 'test:tester',
    AWS_SECRET_ACCESS_KEY: 'testing',
    AWS_REGION: 'us-east-1',
    // No profile of whoever runs this, and no question to a machine in a cloud.
    AWS_CONFIG_FILE: join(tmpdir(), 'rrep-no-config'),
    AWS_SHARED_CREDENTIALS_FILE: join(tmpdir(), 'rrep-no-credentials'),
    AWS_EC2_METADATA_DISABLED: 'true',
  }
}
