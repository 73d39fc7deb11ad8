/**
 * `rrep sync` killed by SIGKILL, SIGTERM and SIGINT at 50 random moments each, on a real master
 * with a writer: the target holds a whole dump at every moment, the exit code is that of the
 * table, and nothing but the file is left after the next run.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawnRrep } from '../helpers/rrep-process.js'
import { startServer } from '../helpers/servers.js'

const TIMES = Number(process.env['RREP_SOAK_TIMES'] ?? 50)
const CODES = { SIGINT: 130, SIGTERM: 143 } as const

export async function run(): Promise<void> {
  const server = await startServer()
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-kill-'))
  const target = join(dir, 'dump.rdb')
  const args = ['sync', `127.0.0.1:${server.port}`, '-q', '-o', target]
  try {
    await server.client.call('DEBUG', 'POPULATE', '300000', 'key', '200')
    const startedMs = performance.now()
    expectCode(await spawnRrep(args).ended, 0)
    const wholeMs = performance.now() - startedMs
    for (const signal of ['SIGKILL', 'SIGTERM', 'SIGINT'] as const) {
      let finished = 0
      for (let i = 0; i < TIMES; i += 1) {
        const { child, ended } = spawnRrep(args)
        const timer = setTimeout(() => child.kill(signal), Math.random() * wholeMs)
        const result = await ended
        clearTimeout(timer)
        if (result.code === 0) finished += 1
        else if (signal === 'SIGKILL') {
          if (result.signal !== 'SIGKILL') throw new Error(`ended by itself: ${result.err}`)
        } else if (result.signal !== signal) {
          // Before the handler is there the signal itself ends the process.
          expectCode(result, CODES[signal])
          const left = readdirSync(dir).filter((name) => name !== 'dump.rdb')
          if (left.length > 0) throw new Error(`${signal} left ${left.join(', ')}`)
        }
        execFileSync('redis-check-rdb', [target], { stdio: 'pipe' })
        if (readdirSync(dir).length > 2) throw new Error('temporaries pile up')
      }
      console.log(`${signal}: ${TIMES} runs, ${finished} of them done before it came`)
      expectCode(await spawnRrep(args).ended, 0)
      const left = readdirSync(dir)
      if (left.length !== 1) throw new Error(`left: ${left.join(', ')}`)
    }
    console.log(`the dump is ${statSync(target).size} bytes and sound`)
  } finally {
    await server.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

function expectCode({ code, err }: { code: number | null; err: string }, expected: number): void {
  if (code !== expected) throw new Error(`exit ${String(code)}, not ${expected}: ${err}`)
}
