/** A page that appears whole or not at all. */
import { Buffer } from 'node:buffer'
import type { Writable } from 'node:stream'
import { openOutput } from '../disk/output/open-output.js'

/** @param target a path, or a stream, which is not ended. Throws FileError. */
export async function writePage(
  target: string | Writable,
  page: string,
  signal?: AbortSignal,
): Promise<void> {
  const output = await openOutput(target, { signal })
  try {
    output.write(Buffer.from(page))
    await output.drain()
    await output.finish()
  } catch (error) {
    output.discard()
    throw error
  }
}
