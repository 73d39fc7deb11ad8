/**
 * One process, and one user in it, at a time: a file that names its holder by an owner's token.
 *
 * Who finds a lock asks whether its holder lives. On the same machine (and in the same container)
 * the process table knows; about holders elsewhere only their sign of life does: each touches its
 * lock every few seconds, through the descriptor that it made it with, so that nobody ever keeps
 * another's lock fresh.
 *
 * A dead lock is replaced, never removed and made anew: whoever wants to must first hold the lock
 * *of that very token* (`<name>.after-<token>`), and looks again once it does. So there is one
 * successor at most, and one that judged too slowly finds another's token in place of the dead.
 */
import { createHash } from 'node:crypto'
import {
  closeSync,
  futimesSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { hostname } from 'node:os'
import { basename, dirname } from 'node:path'
import { FileError } from '../errors.js'
import { errnoOf, fileError } from './file-error.js'
import { removeLeftovers } from './leftovers.js'
import { newOwnerToken, ownerStateOf } from './owner.js'
import { writeAll } from './write-all.js'

const TOUCH_MS = 5000
/** A lock held elsewhere without a sign of life for so long is dead. */
const FOREIGN_TIMEOUT_MS = 30_000
/** One that cannot be read may be in the making. */
const UNREADABLE_TIMEOUT_MS = 10_000
const ATTEMPTS = 5
const MAX_DEPTH = 4

export interface LockWords {
  /** What is in use, such as a directory. */
  what: string
  hint?: string | undefined
}

interface Holder {
  token: string
  pid: number
  host: string
  isAlive: boolean
}

export class Lock {
  readonly path: string
  readonly #token: string
  readonly #fd: number
  readonly #touching: NodeJS.Timeout
  #isReleased = false

  private constructor(path: string, token: string, fd: number) {
    this.path = path
    this.#token = token
    this.#fd = fd
    this.#touching = setInterval(() => this.#touch(), TOUCH_MS)
    this.#touching.unref()
  }

  /** Throws FileError ERR_IN_USE where somebody living holds it, this very process included. */
  static take(path: string, words: LockWords): Lock {
    const token = newOwnerToken()
    const begin = `${basename(path)}.`
    removeLeftovers(dirname(path), (name) =>
      name.startsWith(begin) ? ownerStateOf(name.slice(begin.length)) : undefined,
    )
    try {
      return new Lock(path, token, takeAs(path, token, words, 0))
    } catch (error) {
      throw fileError(path, 'create', error)
    }
  }

  /** Removes it, if it is still ours. May be called twice. */
  release(): void {
    if (this.#isReleased) return
    this.#isReleased = true
    clearInterval(this.#touching)
    releaseAs(this.path, this.#token, this.#fd)
  }

  #touch(): void {
    const now = new Date()
    try {
      futimesSync(this.#fd, now, now)
    } catch {
      // The disk fails; what is written to it will say so.
    }
  }
}

/** Returns the descriptor of the lock's file. */
function takeAs(path: string, token: string, words: LockWords, depth: number): number {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const fd = createAs(path, token)
    if (fd !== undefined) return fd
    const holder = readHolder(path)
    // Released in between.
    if (holder === undefined) continue
    if (holder.isAlive || depth === MAX_DEPTH) throw inUse(path, holder, words)
    const replaced = replaceDead(path, token, holder, words, depth)
    if (replaced !== undefined) return replaced
  }
  throw new FileError('ERR_IN_USE', `${words.what} is in use: others take ${path} too`)
}

/** Undefined where there is one. It appears with its content. */
function createAs(path: string, token: string): number | undefined {
  const temporary = `${path}.${token}`
  const fd = writeHolder(temporary, token)
  try {
    linkSync(temporary, path)
    return fd
  } catch (error) {
    closeSync(fd)
    if (errnoOf(error) === 'EEXIST') return undefined
    // No hard links on this file system.
    if (!['EPERM', 'ENOTSUP', 'ENOSYS', 'EMLINK'].includes(errnoOf(error) ?? '')) throw error
  } finally {
    rmSync(temporary, { force: true })
  }
  try {
    return writeHolder(path, token)
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return undefined
    throw error
  }
}

/** Undefined: somebody else was faster. */
function replaceDead(
  path: string,
  token: string,
  dead: Holder,
  words: LockWords,
  depth: number,
): number | undefined {
  const right = `${path}.after-${dead.token}`
  const rightFd = takeAs(right, token, words, depth + 1)
  try {
    if (readHolder(path)?.token !== dead.token) return undefined
    const temporary = `${path}.${token}`
    const fd = writeHolder(temporary, token)
    renameSync(temporary, path)
    return fd
  } finally {
    closeSync(rightFd)
    rmSync(right, { force: true })
  }
}

function releaseAs(path: string, token: string, fd: number): void {
  const right = `${path}.after-${token}`
  let rightFd: number | undefined
  let isBusy = false
  try {
    // As if to replace it: so nobody does meanwhile.
    rightFd = createAs(right, newOwnerToken())
    isBusy = rightFd === undefined
  } catch {
    // A full disk. Only who takes us for dead could come in between, and we live.
  }
  try {
    if (!isBusy && readHolder(path)?.token === token) rmSync(path, { force: true })
  } catch {
    // A failing disk: the next one finds that we have ended.
  } finally {
    if (rightFd !== undefined) {
      closeSync(rightFd)
      rmSync(right, { force: true })
    }
    closeSync(fd)
  }
}

function writeHolder(path: string, token: string): number {
  const fd = openSync(path, 'wx', 0o600)
  try {
    const holder = { token, pid: process.pid, host: hostname() }
    writeAll(fd, Buffer.from(`${JSON.stringify(holder)}\n`))
    return fd
  } catch (error) {
    closeSync(fd)
    rmSync(path, { force: true })
    throw error
  }
}

function readHolder(path: string): Holder | undefined {
  let text: string
  let ageMs: number
  try {
    text = readFileSync(path, 'utf8')
    ageMs = Date.now() - statSync(path).mtimeMs
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
  let found: Partial<Record<keyof Holder, unknown>> = {}
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed === 'object' && parsed !== null) found = parsed
  } catch {
    // Cut short, or not ours.
  }
  const token = typeof found.token === 'string' ? found.token : ''
  const state = ownerStateOf(token)
  const pid = typeof found.pid === 'number' ? found.pid : 0
  const host = typeof found.host === 'string' ? found.host : ''
  if (state === undefined) {
    const name = createHash('sha256').update(text).digest('hex').slice(0, 16)
    return { token: name, pid, host, isAlive: ageMs < UNREADABLE_TIMEOUT_MS }
  }
  const isAlive = state === 'alive' || (state === 'foreign' && ageMs < FOREIGN_TIMEOUT_MS)
  return { token, pid, host, isAlive }
}

function inUse(path: string, holder: Holder, words: LockWords): FileError {
  const { pid, host } = holder
  const who = pid === process.pid && host === hostname() ? 'this process' : `process ${pid}`
  const where = host === '' || host === hostname() ? '' : ` on ${host}`
  return new FileError('ERR_IN_USE', `${words.what} is in use by ${who}${where}`, {
    hint: words.hint ?? `end that one first; if it surely does not run, remove ${path}`,
    details: { path, pid, host },
  })
}
