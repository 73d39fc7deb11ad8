/**
 * An object of a bucket as a stream, read in ranges, so that a slow reader holds no connection open and
 * a cut one costs a range. The next range is on its way while one is read. The object stays the same one
 * to its end: another tag is an error.
 */
import { Readable } from 'node:stream'
import { FileError } from '../../errors.js'
import type { BucketClient } from './client.js'

/** A look at the head costs no more than this. */
const FIRST_BYTES = 1 << 20
const RANGE_BYTES = 8 << 20
const ATTEMPTS = 5

interface Range {
  bytes: Buffer
  tag: string | undefined
}

export async function openRanges(
  client: BucketClient,
  bucket: string,
  key: string,
  sizeBytes: number,
): Promise<Readable> {
  const first = sizeBytes === 0 ? undefined : await readRange(client, bucket, key, 0, sizeBytes)
  return Readable.from(chunksOf(client, bucket, key, sizeBytes, first), { objectMode: false })
}

async function* chunksOf(
  client: BucketClient,
  bucket: string,
  key: string,
  sizeBytes: number,
  first: Range | undefined,
): AsyncGenerator<Buffer, void> {
  let current = first
  let at = 0
  while (current !== undefined) {
    at += current.bytes.length
    const next = at < sizeBytes ? readRange(client, bucket, key, at, sizeBytes) : undefined
    // Told when it is waited for; a reader may stop before.
    next?.catch(() => undefined)
    yield current.bytes
    const { tag } = current
    current = await next
    if (current !== undefined && current.tag !== tag) throw changed(bucket, key)
  }
}

async function readRange(
  { sdk, send }: BucketClient,
  bucket: string,
  key: string,
  start: number,
  sizeBytes: number,
): Promise<Range> {
  const length = Math.min(start === 0 ? FIRST_BYTES : RANGE_BYTES, sizeBytes - start)
  const command = { Bucket: bucket, Key: key, Range: `bytes=${start}-${start + length - 1}` }
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await send(`read ${key}`, async (client, options) => {
        const { Body, ETag } = await client.send(new sdk.GetObjectCommand(command), options)
        const bytes = Buffer.from((await Body?.transformToByteArray()) ?? [])
        if (bytes.length !== length) {
          throw Object.assign(new Error('the answer was cut short'), { code: 'ECONNRESET' })
        }
        return { bytes, tag: ETag }
      })
    } catch (error) {
      // A body that breaks off is not tried again by the SDK.
      const isCut = error instanceof Error && 'retriable' in error && error.retriable === true
      if (!isCut || attempt >= ATTEMPTS) throw error
    }
  }
}

function changed(bucket: string, key: string): FileError {
  return new FileError('ERR_FILE_CHANGED', `s3://${bucket}/${key} changed while it was read`)
}
