/** What tests of archives ask of real servers: does the directory load, is it the same data? */
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestServer } from './servers.js'
import { startServer, waitFor, type ServerBinary } from './servers.js'

/** Copies an archive and starts a server on the copy; the caller stops it. */
export async function loadArchive(
  dir: string,
  binary?: ServerBinary,
  args: readonly string[] = [],
): Promise<TestServer> {
  const copy = mkdtempSync(join(tmpdir(), 'rrep-load-'))
  cpSync(dir, copy, { recursive: true })
  const server = await startServer({
    dir: copy,
    ...(binary === undefined ? {} : { binary }),
    args: ['--appendonly', 'yes', '--databases', '16', ...args],
  })
  await waitFor(
    async () => {
      try {
        return !(await server.client.info('persistence')).includes('loading:1')
      } catch {
        return false
      }
    },
    { what: 'the server to load the archive' },
  )
  const stop = server.stop.bind(server)
  server.stop = async () => {
    await stop()
    // A child of it may still put something there.
    rmSync(copy, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
  }
  return server
}

/**
 * redis-check-aof on the manifest; returns its output, throws where it finds damage. Valkey's own
 * tool takes the VALKEY base of its server for broken commands: there, the increments alone.
 */
export function checkAof(dir: string, binary: ServerBinary): string {
  const parts = join(dir, 'appendonlydir')
  const manifest = join(parts, 'appendonly.aof.manifest')
  if (binary.family === 'redis') {
    return execFileSync(binary.checkAof, [manifest], { encoding: 'utf8' })
  }
  for (const name of readFileSync(manifest, 'utf8').match(/\S+\.incr\.aof/g) ?? []) {
    execFileSync(binary.checkAof, [join(parts, name)], { encoding: 'utf8' })
  }
  return 'All AOF files and manifest are valid'
}

/** The same, with its exit code. */
export function runCheckAof(
  binary: ServerBinary,
  args: readonly string[],
): { code: number | null; output: string } {
  const result = spawnSync(binary.checkAof, args, { encoding: 'utf8' })
  return { code: result.status, output: result.stdout + result.stderr }
}

/** Sum of the workload's counters over all databases. */
export async function sumCounters(server: TestServer, dbs = 4): Promise<number> {
  let sum = 0
  for (let db = 0; db < dbs; db++) {
    const client = server.newClient(db)
    for (let i = 0; i < 20; i++) sum += Number((await client.get(`counter:${i}`)) ?? 0)
    client.disconnect()
  }
  return sum
}

/** The master's replication offset. */
export async function masterOffset(server: TestServer): Promise<number> {
  const info = await server.client.info('replication')
  return Number(/master_repl_offset:(\d+)/.exec(info)?.[1])
}

export async function infoNumber(
  server: TestServer,
  section: string,
  field: string,
): Promise<number> {
  const info = await server.client.info(section)
  return Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(info)?.[1])
}

/** Lets every expiry happen, then stops further ones: digests are compared at rest. */
export async function settleExpiries(server: TestServer): Promise<void> {
  let before = -1
  await waitFor(
    async () => {
      const keys = await infoNumber(server, 'stats', 'expired_keys')
      const same = keys === before
      before = keys
      await new Promise((resolve) => setTimeout(resolve, 300))
      return same
    },
    { what: 'expiries to settle' },
  )
}
