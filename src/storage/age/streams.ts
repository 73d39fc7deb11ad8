/** Streams that age seals and opens: as they pass, in pieces of 64 KiB, whatever their length. */
import { Duplex, Readable, Writable } from 'node:stream'
import { AuthError, CompressedInputError, RrepError } from '../../errors.js'
import { decrypterOf, encrypterFor } from './keys.js'

/** Put behind a file's name. */
export const AGE_ENDING = '.age'
const MAGIC = Buffer.from('age-encryption.org/v1\n')

/** A maker of streams that encrypt to all of them. Rejects with UsageError, FileError: nothing has begun. */
export async function openEncryption(recipients: readonly string[]): Promise<() => Duplex> {
  const make = await encrypterFor(recipients)
  return () => {
    const passing = new TransformStream<Uint8Array, Uint8Array>()
    const sealed = make().encrypt(passing.readable)
    // Told by the stream when it is read.
    sealed.catch(() => undefined)
    return Duplex.from({
      writable: Writable.fromWeb(passing.writable),
      readable: Readable.from(buffersOf(sealed)),
    })
  }
}

/** By its first bytes. */
export function isSealed(head: Uint8Array): boolean {
  return MAGIC.equals(head.subarray(0, MAGIC.length))
}

/**
 * What an age file holds. Rejects with AuthError (no identity, or not one that it was encrypted to); the
 * stream ends with CompressedInputError where it was changed or cut short. `close` is called at its end.
 */
export async function openSealed(
  name: string,
  sealed: AsyncIterable<Uint8Array>,
  identityFile: string | undefined,
  close: () => void,
): Promise<Readable> {
  if (identityFile === undefined) throw noIdentity(name)
  const decrypter = await decrypterOf(identityFile)
  let opened: AsyncIterable<Uint8Array>
  try {
    opened = await decrypter.decrypt(ReadableStream.from(sealed))
  } catch (error) {
    if (error instanceof RrepError) throw error
    const what = error instanceof Error ? error.message : String(error)
    if (!what.includes('no identity matched')) throw brokenSeal(name, error)
    throw new AuthError('ERR_WRONG_IDENTITY', `${name} was not encrypted to this identity`, {
      hint: `it is read with the identity of one of its recipients, not with that of ${identityFile}`,
    })
  }
  return Readable.from(plainOf(name, opened, close), { objectMode: false })
}

/** What is asked for where something is encrypted. */
export function noIdentity(name: string): AuthError {
  return new AuthError('ERR_NO_IDENTITY', `${name} is encrypted with age`, {
    hint: 'give `identity`: the file with the AGE-SECRET-KEY-… of one of its recipients',
  })
}

async function* plainOf(
  name: string,
  opened: AsyncIterable<Uint8Array>,
  close: () => void,
): AsyncGenerator<Buffer, void> {
  try {
    for await (const chunk of opened) yield bufferOf(chunk)
  } catch (error) {
    throw error instanceof RrepError ? error : brokenSeal(name, error)
  } finally {
    close()
  }
}

async function* buffersOf(
  sealed: Promise<AsyncIterable<Uint8Array>>,
): AsyncGenerator<Buffer, void> {
  for await (const chunk of await sealed) yield bufferOf(chunk)
}

function bufferOf(chunk: Uint8Array): Buffer {
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
}

function brokenSeal(name: string, cause: unknown): CompressedInputError {
  const what = cause instanceof Error ? cause.message : String(cause)
  return new CompressedInputError(name, 'age', what, cause)
}
