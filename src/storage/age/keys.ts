/** Recipients and identities of age, as the `age` program takes them: a key itself, or a file with one a
 * line, `#` for comments. */
import { readFileSync, statSync } from 'node:fs'
import type { Decrypter, Encrypter } from 'age-encryption'
import { printable } from '../../bytes/printable.js'
import { fileError } from '../../disk/file-error.js'
import { AuthError, UsageError } from '../../errors.js'
import type * as libraryModule from './age-library.js'

type Library = typeof libraryModule

const MAX_BYTES = 1 << 20
const SHOWN_CHARS = 80

export async function loadAge(): Promise<Library> {
  const loaded = await import('./age-library.js')
  // The command line's bundle of it is CommonJS, and comes as one value.
  return 'default' in loaded ? (loaded.default as Library) : loaded
}

/** To all of them. Rejects with UsageError (what is no recipient), FileError. */
export async function encrypterFor(recipients: readonly string[]): Promise<() => Encrypter> {
  const library = await loadAge()
  const keys = recipients.flatMap((each) => (isRecipient(each) ? [each] : linesOf(each)))
  if (keys.length === 0) throw new UsageError('there is no recipient to encrypt to')
  const make = (): Encrypter => {
    const encrypter = new library.Encrypter()
    for (const key of keys) addRecipient(encrypter, key)
    return encrypter
  }
  make()
  return make
}

function isRecipient(text: string): boolean {
  return /^age1[a-z0-9]+$/i.test(text)
}

function addRecipient(encrypter: Encrypter, key: string): void {
  // It would be stored beside the backup's host, which is to hold no identity.
  if (/^AGE-(?:SECRET-KEY|PLUGIN)-/i.test(key)) {
    throw new UsageError(
      'that is an identity, which opens what is encrypted; a recipient is wanted',
      {
        hint: 'age-keygen -y FILE prints the recipient of an identity',
      },
    )
  }
  try {
    encrypter.addRecipient(key)
  } catch (error) {
    const shown = printable(Buffer.from(key), 0, undefined, SHOWN_CHARS)
    throw new UsageError(`${shown} is no recipient that can be encrypted to`, {
      hint: 'recipients are written age1…; those of SSH keys and plugins are not supported',
      cause: error,
    })
  }
}

/** Rejects with AuthError where the file holds none. */
export async function decrypterOf(identityFile: string): Promise<Decrypter> {
  const { Decrypter: Reader } = await loadAge()
  const decrypter = new Reader()
  let count = 0
  for (const line of linesOf(identityFile)) {
    try {
      decrypter.addIdentity(line)
    } catch {
      // What it says may hold the key.
      throw noIdentityIn(identityFile)
    }
    count += 1
  }
  if (count === 0) throw noIdentityIn(identityFile)
  return decrypter
}

function noIdentityIn(file: string): AuthError {
  return new AuthError('ERR_WRONG_IDENTITY', `${file} holds no identity of age`, {
    hint: 'an identity is a line AGE-SECRET-KEY-…, as age-keygen writes it',
  })
}

function linesOf(file: string): readonly string[] {
  let text: string
  try {
    if (statSync(file).size > MAX_BYTES) throw new UsageError(`${file} is too large for keys`)
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw error instanceof UsageError ? error : fileError(file, 'read', error)
  }
  const lines = text.split('\n').map((each) => each.trim())
  return lines.filter((each) => each !== '' && !each.startsWith('#'))
}
