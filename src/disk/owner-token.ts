/**
 * Names for temporary files that say who made them, so that the next run can tell a file that a
 * killed process left behind from one that a living process still writes.
 *
 *   .<target>.<place>-<pid>-<start>-<random>.part
 *
 * `place` stands for host, boot and process-id namespace: a pid means something only there. A pid
 * is used again one day, its start time is not.
 */
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

const SUFFIX = '.part'

export function temporaryName(target: string): string {
  const start = startTimeOf(process.pid) ?? 0
  return `.${target}.${place()}-${process.pid}-${start}-${randomBytes(4).toString('hex')}${SUFFIX}`
}

/** `alive`: somebody writes it. `dead`: its process is gone. `foreign`: made on another host, or
 * before the last boot: only its age can tell. Undefined: no temporary of this target. */
export function temporaryState(
  name: string,
  target: string,
): 'alive' | 'dead' | 'foreign' | undefined {
  const begin = `.${target}.`
  if (!name.startsWith(begin) || !name.endsWith(SUFFIX)) return undefined
  const found = /^([0-9a-f]{12})-(\d+)-(\d+)-[0-9a-f]{8}$/.exec(
    name.slice(begin.length, -SUFFIX.length),
  )
  if (found === null) return undefined
  if (found[1] !== place()) return 'foreign'
  const pid = Number(found[2])
  if (!isRunning(pid)) return 'dead'
  const start = startTimeOf(pid)
  return start === undefined || start === Number(found[3]) ? 'alive' : 'dead'
}

let knownPlace: string | undefined

function place(): string {
  knownPlace ??= createHash('sha256')
    .update([hostname(), bootId(), pidNamespace()].join('\n'))
    .digest('hex')
    .slice(0, 12)
  return knownPlace
}

function bootId(): string {
  return attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')) ?? ''
}

function pidNamespace(): string {
  return attempt(() => readlinkSync('/proc/self/ns/pid')) ?? ''
}

/** In clock ticks since boot; undefined where there is no /proc. */
function startTimeOf(pid: number): number | undefined {
  const stat = attempt(() => readFileSync(`/proc/${pid}/stat`, 'latin1'))
  // The name, in parentheses, may hold anything; the start time is the 20th field behind it.
  const field = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  return field === undefined ? undefined : Number(field)
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function attempt<Value>(read: () => Value): Value | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
