/**
 * Who made a thing on disk: so that what a killed process left behind can be told from what a
 * living one still uses, whoever looks.
 *
 *   <place>-<pid>-<start>-<random>
 *
 * `place` stands for host, boot and process-id namespace: a pid means something only there (each
 * container has its own pid 1). A pid is used again one day, its start time is not.
 */
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/** `alive`: its process runs. `dead`: it has ended. `foreign`: made on another host, in another
 * container, or before the last boot: only its age can tell. */
export type OwnerState = 'alive' | 'dead' | 'foreign'

const TOKEN = /^([0-9a-f]{12})-(\d+)-(\d+)-[0-9a-f]{8}$/
const PART = '.part'
/** The longest name that file systems take, in bytes. */
const MAX_NAME_BYTES = 255

/** Another one at each call. */
export function newOwnerToken(): string {
  return `${place()}-${process.pid}-${startTimeOf(process.pid) ?? 0}-${randomBytes(4).toString('hex')}`
}

/** Undefined: that is no token. */
export function ownerStateOf(token: string): OwnerState | undefined {
  const found = TOKEN.exec(token)
  if (found === null) return undefined
  if (found[1] !== place()) return 'foreign'
  const pid = Number(found[2])
  if (!isRunning(pid)) return 'dead'
  const start = startTimeOf(pid)
  return start === undefined || start === Number(found[3]) ? 'alive' : 'dead'
}

/** A hidden name beside the target, never longer than names may be. */
export function temporaryName(target: string): string {
  return `${temporaryBegin(target)}${newOwnerToken()}${PART}`
}

/** Undefined: no temporary of this target. */
export function temporaryState(name: string, target: string): OwnerState | undefined {
  const begin = temporaryBegin(target)
  if (!name.startsWith(begin) || !name.endsWith(PART)) return undefined
  return ownerStateOf(name.slice(begin.length, -PART.length))
}

function temporaryBegin(target: string): string {
  const longestTokenBytes = 12 + 1 + 10 + 1 + 20 + 1 + 8
  const bytes = Buffer.byteLength(target) + 2 + longestTokenBytes + PART.length
  if (bytes <= MAX_NAME_BYTES) return `.${target}.`
  return `.rrep-${createHash('sha256').update(target).digest('hex').slice(0, 16)}.`
}

/** Another after each start of the machine: what was written but not synced may then be missing.
 * Empty where the system does not tell. */
export function bootId(): string {
  return attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()) ?? ''
}

let knownPlace: string | undefined

function place(): string {
  knownPlace ??= createHash('sha256')
    .update([hostname(), bootId(), pidNamespace()].join('\n'))
    .digest('hex')
    .slice(0, 12)
  return knownPlace
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
