/** The recipes of README, run as they stand there: only places and ports are others. */
import { spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readCatalogue } from '../../src/index.js'
import { runCli } from '../helpers/cli.js'
import { rrepCommand } from '../helpers/rrep-command.js'
import { digest, freePort, startServer, waitFor, type TestServer } from '../helpers/servers.js'

const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8')
const recipes = readme.slice(readme.indexOf('## Recipes'), readme.indexOf('## As a library'))
const dir = mkdtempSync(join(tmpdir(), 'rrep-recipes-'))
const envFile = join(dir, 'etc/rrep/prod.env')
const repo = join(dir, 'var/backups/redis')
let source: TestServer

beforeAll(async () => {
  source = await startServer({ args: ['--repl-diskless-sync-delay', '0'] })
  for (const each of ['bin', 'etc/rrep', 'var/backups', 'var/lib/node_exporter']) {
    mkdirSync(join(dir, each), { recursive: true })
  }
  const shim = join(dir, 'bin/rrep')
  writeFileSync(shim, `#!/bin/sh\nexec ${rrepCommand.map((each) => `'${each}'`).join(' ')} "$@"\n`)
  chmodSync(shim, 0o755)
  writeFileSync(envFile, placed(recipe('sh', 'prod.env')))
  await source.client.call('DEBUG', 'POPULATE', 500)
})
afterAll(async () => {
  await source.stop()
  rmSync(dir, { recursive: true, force: true })
})

/** The one block of a language that holds a text. */
function recipe(language: string, text: string): string {
  const blocks = [...recipes.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
  const found = blocks.filter((block) => block[1] === language && block[2]!.includes(text))
  expect(found, `${language} with ${text}`).toHaveLength(1)
  return found[0]![2]!
}

/** With places of this test. */
function placed(text: string): string {
  return text
    .replaceAll(/(?<=[\s=]|^)\/(?=etc|var)/gm, `${dir}/`)
    .replaceAll('127.0.0.1:6379', `127.0.0.1:${source.port}`)
}

async function sh(
  script: string,
  env: Record<string, string> = {},
): Promise<[number, string, string]> {
  const child = spawn('/bin/sh', ['-c', script], {
    env: { ...process.env, PATH: `${join(dir, 'bin')}:${process.env['PATH'] ?? ''}`, ...env },
  })
  let [out, err] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  const code = await new Promise<number>((resolve) => {
    child.once('close', (status) => resolve(status ?? -1))
  })
  return [code, out, err]
}

test('cron: the backup, the proof, and the look at its age say nothing where all is well', async () => {
  const lines = placed(recipe('crontab', 'cron.d'))
    .split('\n')
    .filter((line) => /^\d/.test(line))
  expect(lines).toHaveLength(3)
  for (const line of lines) {
    const command = line.split(/\s+/).slice(6).join(' ')
    expect(await sh(command), command).toEqual([0, '', ''])
  }
  const [backup] = (await readCatalogue(repo, 'prod')).backups
  expect(backup).toMatchObject({ record: { keys: 500, files: [{ file: 'dump.rdb.gz' }] } })
  expect(backup!.provenAtMs).toBeDefined()
  expect(existsSync(join(dir, 'var/lib/node_exporter/rrep-prod.prom'))).toBe(true)
})

test('systemd and Kubernetes: what they start, with the environment that they give it', async () => {
  const unit = placed(recipe('ini', 'ExecStart'))
  const exec = /^ExecStart=(.*)$/m.exec(unit)![1]!.replaceAll('%i', 'prod')
  const file = /^EnvironmentFile=(.*)$/m.exec(unit)![1]!.replaceAll('%i', 'prod')
  expect(await sh(`set -a; . ${file}; exec ${exec}`)).toEqual([0, '', ''])
  const command = /command: \[(.*)\]/.exec(recipe('yaml', 'CronJob'))![1]!.replaceAll(',', ' ')
  expect(await sh(`set -a; . ${envFile}; exec ${command}`)).toEqual([0, '', ''])
})

test('the restore drill ends with the same data', async () => {
  const port = String(await freePort())
  const env = { RREP_TO: repo, DRILL: join(dir, 'drill'), PORT: port }
  // The server takes a moment to begin.
  const until = `until redis-cli -p ${port} PING; do sleep 0.1; done >/dev/null 2>&1`
  const script = placed(recipe('sh', '$DRILL')).replace(/^rrep diff/m, `${until}\nrrep diff`)
  try {
    const [code, , err] = await sh(script, env)
    expect(code, err).toBe(0)
  } finally {
    await sh(`redis-cli -p ${port} SHUTDOWN NOSAVE`)
  }
})

test('back to before a FLUSHALL', async () => {
  const archive = join(dir, 'archive')
  const wanted = await digest(source)
  const tail = runCli(['tail', `127.0.0.1:${source.port}`, '-o', archive, '--for', '4s'])
  await waitFor(() => existsSync(join(archive, 'appendonlydir')), { what: 'the archive' })
  await waitFor(async () => (await source.client.info('replication')).includes('state=online'), {
    what: 'the link',
  })
  await source.client.set('more', '1')
  await source.client.del('more')
  await source.client.flushall()
  await source.client.set('after', '1')
  expect((await tail).code).toBe(0)
  const target = await startServer()
  const env = { ARCHIVE: archive, NEW: `127.0.0.1:${target.port}` }
  const [code, , err] = await sh(`set -e\n${recipe('sh', 'FLUSHALL')}`, env)
  expect(code, err).toBe(0)
  expect(await digest(target)).toBe(wanted)
  await target.stop()
})

test('a move to another server ends by itself once the writers are stopped', async () => {
  const target = await startServer({ args: ['--save', '3600 1'] })
  let isOver = false
  let written = 0
  const writing = (async () => {
    while (!isOver) {
      await Promise.race([
        source.client.incr('counter'),
        new Promise((done) => setTimeout(done, 50)),
      ])
      written += 1
      await new Promise((done) => setTimeout(done, 5))
    }
  })()
  const env = { OLD: `127.0.0.1:${source.port}`, NEW: `127.0.0.1:${target.port}` }
  // The pause of a person who looks at the lag.
  const script = recipe('sh', 'CLIENT PAUSE').replace('# … when it follows', 'sleep 4 #')
  const [code, , err] = await sh(script, env)
  isOver = true
  // By another connection: on this one a paused command stands in front.
  await sh(`redis-cli -p ${source.port} CLIENT UNPAUSE`)
  await writing
  expect(code, err).toBe(0)
  expect(written).toBeGreaterThan(10)
  expect(Number(await target.client.get('counter'))).toBeGreaterThan(0)
  expect(err).toContain('the same')
  await target.stop()
})
