/**
 * `replay --via-replica` killed, rrep or the target, in turn into each server that is here: at 30 random
 * moments, and in each step between "all is there" and "all is put back", before it and behind it. Behind the
 * next `--finish` the target is a master with the settings that it had, its data is all of the dump or
 * nothing, what was told of it is so, and the next load works. RREP_SOAK_MOMENTS: other than 30.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startProxy } from '../helpers/cutting-proxy.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import { digest, serverBinary, startServer, type TestServer } from '../helpers/servers.js'

const MOMENTS = Number(process.env['RREP_SOAK_MOMENTS'] ?? 30)
const KEYS = 600_000
const BEFORE = ['its own', 'its-user', 'disabled']
const NAMES = ['masterauth', 'masteruser', 'repl-diskless-load']
/** What is sent behind the load, in its order: from there on all of the dump is there. */
// Whether the first may be sent is tried before, in a transaction that is dropped.
const STEPS = [
  { bytes: 'SLAVEOF\r\n$2\r\nNO', times: 2 },
  ...BEFORE.toReversed().map((bytes) => ({ bytes, times: 1 })),
]

/** When and what is killed. */
interface Aim {
  readonly side: 'rrep' | 'target'
  /** Undefined: at a random moment. */
  readonly step?: (typeof STEPS)[number] & { readonly where: 'before' | 'behind' }
}

const SIDES = ['rrep', 'target'] as const
const AIMS: readonly Aim[] = [
  ...Array.from({ length: MOMENTS }, (_, moment) => ({ side: SIDES[moment % 2]! })),
  ...STEPS.flatMap((step) =>
    (['before', 'behind'] as const).flatMap((where) =>
      SIDES.map((side) => ({ side, step: { ...step, where } })),
    ),
  ),
]

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
    const load = (port: number, ...more: string[]): ReturnType<typeof spawnRrep> =>
      spawnRrep(['replay', dump, `127.0.0.1:${port}`, '--via-replica', ...more], { env })
    const begunMs = performance.now()
    await expectCode(load(targets[0]!.port), 0)
    const spanMs = 1.2 * (performance.now() - begunMs)
    const ends = { whole: 0, none: 0, done: 0 }
    let met = 0
    for (const [index, { side, step }] of AIMS.entries()) {
      const target = targets[index % targets.length]!
      await target.client.flushall('SYNC')
      const proxy = await startProxy(target.port)
      const held = step && proxy.holdAt(step.bytes, step.where, step.times).then(() => (met += 1))
      const rrep = load(proxy.port)
      const delayMs = Math.random() * spanMs
      await Promise.race([held ?? sleep(delayMs), rrep.ended])
      if (side === 'rrep') rrep.child.kill('SIGKILL')
      else {
        await target.kill('SIGKILL')
        await target.restart()
      }
      proxy.cut()
      const { code, err } = await rrep.ended
      const when =
        step === undefined
          ? `after ${delayMs.toFixed(0)} ms`
          : `${step.where} ${JSON.stringify(step.bytes)}`
      const what = `${index}: ${side} of ${target.binary.name} killed ${when}`
      const check = (is: boolean, rule: string): void => {
        if (!is) throw new Error(`${what}: ${rule}; rrep ended with ${String(code)}:\n${err}`)
      }
      const finish = spawnRrep(['replay', '--finish', `127.0.0.1:${proxy.port}`], { env })
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
      if (step !== undefined && side === 'rrep') check(keys === KEYS, 'all was there')
      await proxy.stop()
      if (code === 0) ends.done += 1
      else if (keys === 0) ends.none += 1
      else ends.whole += 1
    }
    const steps = AIMS.filter(({ step }) => step !== undefined).length
    if (met !== steps) throw new Error(`${met} of ${steps} steps were met`)
    for (const target of targets) {
      await expectCode(load(target.port, '--empty-target', '--yes'), 0)
      if ((await digest(target)) !== wanted) throw new Error(`${target.binary.name} differs`)
    }
    console.log(
      `${MOMENTS} random moments, ${steps} steps: ${ends.none} left nothing, ${ends.whole} all, ${ends.done} came too late; ` +
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
