/**
 * An object of a bucket as a stream, read in ranges, so that a slow reader holds no connection open and
 * a cut one costs a range. The next range is on its way while one is read. The object stays the same one
 * to its end: another tag is an error.
 */
import { Readable } from 'node:stream'
import { FileError, ProtocolError } from '../../errors.js'
import type { BucketClient } from './client.js'

/** A look at the head costs no more than this. */
const FIRST_BYTES = 1 << 20
const RANGE_BYTES = 8 << 20
const ATTEMPTS = 5
/** The status of a range behind the end. */
const NO_RANGE = 416

interface Range {
  bytes: Buffer
  /** Of the object. */
  sizeBytes: number
  tag: string | undefined
}

export async function openRanges(
  client: BucketClient,
  bucket: string,
  key: string,
): Promise<{ stream: Readable; sizeBytes: number }> {
  const first = await firstRange(client, bucket, key)
  const sizeBytes = first?.sizeBytes ?? 0
  const chunks = chunksOf(client, bucket, key, sizeBytes, first)
  return { stream: Readable.from(chunks, { objectMode: false }), sizeBytes }
}

/** Undefined: there is no first byte. */
async function firstRange(
  client: BucketClient,
  bucket: string,
  key: string,
): Promise<Range | undefined> {
  try {
    return await readRange(client, bucket, key, 0, FIRST_BYTES)
  } catch (error) {
    const isEmpty = error instanceof ProtocolError && error.details['httpStatus'] === NO_RANGE
    if (isEmpty) return undefined
    throw error
  }
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
    const count = Math.min(RANGE_BYTES, sizeBytes - at)
    const next = count > 0 ? readRange(client, bucket, key, at, count) : undefined
    // Told when it is waited for; a reader may stop before.
    next?.catch(() => undefined)
    yield current.bytes
    const { tag } = current
    current = await next
    if (current !== undefined && current.tag !== tag) throw changed(bucket, key)
  }
}

/** Fewer bytes only at the end of the object. */
async function readRange(
  { sdk, send }: BucketClient,
  bucket: string,
  key: string,
  start: number,
  count: number,
): Promise<Range> {
  const command = { Bucket: bucket, Key: key, Range: `bytes=${start}-${start + count - 1}` }
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await send(`read ${key}`, async (client, options) => {
        const { Body, ContentRange, ETag } = await client.send(
          new sdk.GetObjectCommand(command),
          options,
        )
        const bytes = Buffer.from((await Body?.transformToByteArray()) ?? [])
        const sizeBytes = Number(/\/(\d+)$/.exec(ContentRange ?? '')?.[1] ?? Number.NaN)
        if (bytes.length !== Math.min(count, sizeBytes - start)) {
          throw Object.assign(new Error('the answer was cut short'), { code: 'ECONNRESET' })
        }
        return { bytes, sizeBytes, tag: ETag }
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
