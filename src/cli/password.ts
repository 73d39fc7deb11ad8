/** Passwords: from a file, a prompt without echo, or the environment; there is no option for one. */
import { readFileSync, statSync } from 'node:fs'
import { AbortedError, FileError, UsageError } from '../errors.js'
import type { Io } from './io.js'

export interface PasswordWishes {
  file?: string | undefined
  ask?: boolean | undefined
  /** Shown by the prompt. */
  label: string
  /** Environment variable asked last, if any. */
  variable?: string | undefined
  /** Told where others may read the file. */
  onWarning?: ((message: string) => void) | undefined
}

export async function readPassword(io: Io, wishes: PasswordWishes): Promise<string | undefined> {
  if (wishes.file !== undefined && wishes.ask === true) {
    throw new UsageError('a password file and a prompt were both asked for: choose one')
  }
  if (wishes.file !== undefined) return readPasswordFile(wishes.file, wishes.onWarning)
  if (wishes.ask === true) return await prompt(io, `${wishes.label}: `, false)
  const fromEnvironment = wishes.variable === undefined ? undefined : io.env[wishes.variable]
  return fromEnvironment === '' ? undefined : fromEnvironment
}

/** The first line of the file, without its line end. */
export function readPasswordFile(path: string, onWarning?: (message: string) => void): string {
  try {
    const { mode } = statSync(path)
    if ((mode & 0o044) !== 0) {
      onWarning?.(`others may read the password file ${path}: chmod 600 ${path}`)
    }
    const line = readFileSync(path, 'utf8').split(/\r?\n/, 1)[0]!
    if (line === '') throw new UsageError(`${path} begins with an empty line: no password there`)
    return line
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw cannotRead(`the password file ${path}`, error)
  }
}

/** Why a small file of the user cannot be read, in words. */
export function cannotRead(what: string, error: unknown): FileError {
  const code = (error as NodeJS.ErrnoException).code ?? 'failed'
  const why = WORDS[code] ?? code
  return new FileError('ERR_CANNOT_READ', `cannot read ${what}: ${why}`, { cause: error })
}

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'a part of the path is no directory',
  EACCES: 'not allowed',
  EISDIR: 'it is a directory',
}

/** One line typed by the user; shown while it is typed only with `echo`. */
export async function prompt(io: Io, question: string, echo: boolean): Promise<string> {
  if (!io.stdinIsTty) {
    throw new UsageError('cannot ask: standard input is no terminal', {
      hint: 'use --password-file, or the environment variable REDISCLI_AUTH',
    })
  }
  io.stderr.write(question)
  // Raw mode: the terminal shows nothing of itself, and Ctrl-C arrives as a byte.
  io.stdin.setRawMode?.(true)
  try {
    return await readLine(io, echo)
  } finally {
    io.stdin.setRawMode?.(false)
    io.stdin.pause()
    io.stderr.write('\n')
  }
}

async function readLine(io: Io, echo: boolean): Promise<string> {
  return await new Promise((resolve, reject) => {
    let typed = ''
    const onData = (chunk: Buffer | string): void => {
      for (const char of chunk.toString()) {
        if (char === '\r' || char === '\n') finish(() => resolve(typed))
        else if (char === '\x03' || char === '\x04') finish(() => reject(new AbortedError()))
        else if (char === '\x7f' || char === '\b') typed = typed.slice(0, -1)
        else {
          typed += char
          if (echo) io.stderr.write(char)
        }
      }
    }
    const onAbort = (): void => finish(() => reject(new AbortedError()))
    const finish = (settle: () => void): void => {
      io.stdin.off('data', onData)
      io.signal.removeEventListener('abort', onAbort)
      settle()
    }
    io.stdin.on('data', onData)
    io.signal.addEventListener('abort', onAbort, { once: true })
    io.stdin.resume()
  })
}
