/**
 * `replay --via-replica` killed at 30 random moments, rrep or the target, in turn into each server that
 * is here: behind the next `--finish` the target is a master with the settings that it had, its data is
 * all of the dump or nothing, what was told of it is so, and the next load works.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawnRrep } from '../helpers/rrep-process.js'
import { digest, serverBinary, startServer, type TestServer } from '../helpers/servers.js'

const MOMENTS = 30
const KEYS = 600_000
const BEFORE = ['its own', 'its-user', 'disabled']
const NAMES = ['masterauth', 'masteruser', 'repl-diskless-load']

export async function run(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-'))
  const env = { XDG_STATE_HOME: join(dir, 'state') }
  const writer = await startServer()
  await writer.client.call('DEBUG', 'POPULATE', KEYS, 'key', 40)
  await writer.client.save()
  const wanted = await digest(writer)
  const dump = join(writer.dir, 'dump.rdb')
  const targets: TestServer[] = []
  try {
    for (const name of ['redis-7.0', 'redis-8.6', 'valkey-9.1']) {
      const binary = serverBinary(name)
      if (binary === undefined) console.log(`${name} is not here`)
      else {
        const args = ['--masterauth', BEFORE[0]!, '--masteruser', BEFORE[1]!]
        targets.push(await startServer({ binary, args }))
      }
    }
    const load = (target: TestServer, ...more: string[]): ReturnType<typeof spawnRrep> =>
      spawnRrep(['replay', dump, `127.0.0.1:${target.port}`, '--via-replica', ...more], { env })
    const begunMs = performance.now()
    await expectCode(load(targets[0]!), 0)
    const spanMs = 1.2 * (performance.now() - begunMs)
    const ends = { whole: 0, none: 0, done: 0 }
    for (let moment = 0; moment < MOMENTS; moment += 1) {
      const target = targets[moment % targets.length]!
      const side = moment % 2 === 0 ? 'rrep' : 'target'
      await target.client.flushall('SYNC')
      const rrep = load(target)
      const delayMs = Math.random() * spanMs
      await new Promise((resolve) => setTimeout(resolve, delayMs))
      if (side === 'rrep') rrep.child.kill('SIGKILL')
      else {
        await target.kill('SIGKILL')
        await target.restart()
      }
      const { code, err } = await rrep.ended
      const what = `${moment}: ${side} of ${target.binary.name} killed after ${delayMs.toFixed(0)} ms`
      const check = (is: boolean, rule: string): void => {
        if (!is) throw new Error(`${what}: ${rule}; rrep ended with ${String(code)}:\n${err}`)
      }
      const finish = spawnRrep(['replay', '--finish', `127.0.0.1:${target.port}`], { env })
      const told = (await expectCode(finish, 0)).err
      const settings: string[] = []
      for (const name of NAMES) {
        settings.push(((await target.client.call('CONFIG', 'GET', name)) as string[])[1]!)
      }
      check(settings.join() === BEFORE.join(), `settings are ${settings.join()}`)
      const role = /role:(\w+)/.exec(await target.client.info('replication'))?.[1]
      check(role === 'master', `role is ${String(role)}`)
      const keys = await target.client.dbsize()
      check(keys === 0 || keys === KEYS, `it holds ${keys} keys`)
      check(!told.includes('holds all') || keys === KEYS, `told whole: ${told}`)
      check(code !== 0 || side === 'target' || keys === KEYS, 'it ended well, and keys are missing')
      if (keys === KEYS) check((await digest(target)) === wanted, 'the data is another')
      check(readdirSync(join(dir, 'state', 'rrep')).length === 0, 'a record was left')
      if (code === 0) ends.done += 1
      else if (keys === 0) ends.none += 1
      else ends.whole += 1
    }
    for (const target of targets) {
      await expectCode(load(target, '--empty-target', '--yes'), 0)
      if ((await digest(target)) !== wanted) throw new Error(`${target.binary.name} differs`)
    }
    console.log(
      `${MOMENTS} moments: ${ends.none} left nothing, ${ends.whole} all, ${ends.done} came too late; ` +
        'settings as before each time, and the next load whole',
    )
  } finally {
    await writer.stop()
    for (const target of targets) await target.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

async function expectCode(
  rrep: ReturnType<typeof spawnRrep>,
  wanted: number,
): Promise<{ err: string }> {
  const { code, err } = await rrep.ended
  if (code !== wanted) throw new Error(`rrep ended with ${String(code)}:\n${err}`)
  return { err }
}
