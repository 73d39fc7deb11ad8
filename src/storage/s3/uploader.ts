/**
 * An object that grows in a bucket, part by part, and is there only once it is whole.
 *
 * Two buffers of one part each, used again and again: one is filled while the other is on its way, and
 * goes on its way too once it is full. All parts but the last are equally long, as some stores demand.
 * What fits into one part is put at once.
 */
import { createHash } from 'node:crypto'
import type { Output } from '../../disk/output/output.js'
import { FileError, InternalError, ProtocolError } from '../../errors.js'
import type { BucketClient } from './client.js'
import { isBucketFault } from './bucket-error.js'
import { UploadHashes, type PartHashes } from './upload-hashes.js'

export interface UploadTarget {
  bucket: string
  key: string
  partBytes: number
  /** The store answers a part with its MD5: then it is compared. */
  isTagMd5: boolean
}

const FIRST_BYTES = 1 << 20
const GROWTH = 4
/** So much is told to the thread of hashes at once. */
const HASHED_BYTES = 1 << 20
const HEADER_SHA256 = 'x-amz-content-sha256'

interface Part {
  ETag: string | undefined
  PartNumber: number
}

interface PartBuffer {
  bytes: Buffer
  sending: Promise<void> | undefined
}

export class Upload implements Output {
  readonly canRestart = true
  readonly canTakeBack = true
  readonly canReadBack = false
  readonly digest = { sha256: '' }
  writtenBytes = 0
  readonly #client: BucketClient
  readonly #target: UploadTarget
  #buffers: [PartBuffer, PartBuffer]
  /** Which one of them. */
  #filling: 0 | 1 = 0
  #filled = 0
  /** Of these, what the thread of hashes knows of. */
  #hashed = 0
  /** From the first part on that is not the only one. */
  #hashes: UploadHashes | undefined
  /** What came while both buffers were in use, in memory that is used again: it comes with every part. */
  #held: Buffer = Buffer.alloc(0)
  #heldFrom = 0
  #heldEnd = 0
  #uploadId: Promise<string> | undefined
  #parts: Promise<Part>[] = []
  #fault: unknown
  #isOver = false
  /** Uploads given up are put away behind it. */
  tidied: Promise<void> = Promise.resolve()

  constructor(client: BucketClient, target: UploadTarget) {
    this.#client = client
    this.#target = target
    this.#buffers = noBuffers()
  }

  write(bytes: Uint8Array, start = 0, end = bytes.length): void {
    this.#check()
    this.writtenBytes += end - start
    const taken = this.#isHolding ? 0 : this.#take(bytes, start, end)
    if (taken < end - start) this.#hold(bytes, start + taken, end)
  }

  get #isHolding(): boolean {
    return this.#heldFrom < this.#heldEnd
  }

  /** How many: fewer where both buffers are in use. */
  #take(bytes: Uint8Array, start: number, end: number): number {
    let at = start
    while (at < end) {
      if (this.#filled === this.#target.partBytes) this.#ship()
      if (this.#buffers[this.#filling].sending !== undefined) break
      const buffer = this.#room()
      const count = Math.min(end - at, buffer.length - this.#filled)
      buffer.set(bytes.subarray(at, at + count), this.#filled)
      this.#filled += count
      at += count
      if (this.#filled - this.#hashed >= HASHED_BYTES) this.#tellHashes()
    }
    return at - start
  }

  #hold(bytes: Uint8Array, start: number, end: number): void {
    if (!this.#isHolding) this.#heldFrom = this.#heldEnd = 0
    const wanted = this.#heldEnd + end - start
    if (wanted > this.#held.length) {
      const larger = Buffer.allocUnsafe(Math.max(wanted, 2 * this.#held.length))
      this.#held.copy(larger, 0, 0, this.#heldEnd)
      this.#held = larger
    }
    this.#held.set(bytes.subarray(start, end), this.#heldEnd)
    this.#heldEnd = wanted
  }

  /** The buffer being filled, larger where it is full: what is small takes little memory. */
  #room(): Buffer {
    const { partBytes } = this.#target
    const buffer = this.#buffers[this.#filling]
    const before = buffer.bytes
    if (this.#filled < before.length) return before
    const bytes = Math.min(partBytes, Math.max(FIRST_BYTES, before.length * GROWTH))
    buffer.bytes = Buffer.from(new SharedArrayBuffer(bytes))
    before.copy(buffer.bytes, 0, 0, this.#filled)
    return buffer.bytes
  }

  #tellHashes(): void {
    if (this.#hashes === undefined || this.#hashed === this.#filled) return
    this.#hashes.add(this.#filling, this.#hashed, this.#filled)
    this.#hashed = this.#filled
  }

  /** The buffer being filled goes on its way. */
  #ship(): void {
    const buffer = this.#buffers[this.#filling]
    const hashing = this.#hashesOf()
    const body = buffer.bytes.subarray(0, this.#filled)
    this.#filling = this.#filling === 0 ? 1 : 0
    this.#filled = 0
    this.#hashed = 0
    this.#uploadId ??= this.#begin()
    const parts = this.#parts
    const part = this.#uploadPart(this.#uploadId, parts.length + 1, body, hashing)
    parts.push(part)
    buffer.sending = part.then(
      () => {
        buffer.sending = undefined
      },
      (error: unknown) => {
        buffer.sending = undefined
        // Of an upload that was given up it is no matter.
        if (parts === this.#parts) this.#fault ??= error
      },
    )
  }

  /** Of the part that is whole now. */
  #hashesOf(): Promise<PartHashes> {
    if (this.#hashes === undefined) {
      // Both are of one size from now on, and known to the thread.
      const { partBytes } = this.#target
      const other = new SharedArrayBuffer(partBytes)
      this.#buffers[1].bytes = Buffer.from(other)
      this.#hashes = new UploadHashes([this.#buffers[0].bytes.buffer as SharedArrayBuffer, other])
    }
    this.#tellHashes()
    return this.#hashes.endPart()
  }

  drain(): Promise<void> | undefined {
    this.#check()
    return this.#isHolding ? this.#drained() : undefined
  }

  async #drained(): Promise<void> {
    while (this.#isHolding) {
      await this.#buffers[this.#filling].sending
      this.#check()
      this.#heldFrom += this.#take(this.#held, this.#heldFrom, this.#heldEnd)
    }
  }

  restart(): void {
    this.#abandon()
    this.#hashes?.restart()
    this.writtenBytes = 0
    this.#filled = 0
    this.#hashed = 0
    this.#heldFrom = this.#heldEnd = 0
    this.#parts = []
    this.#uploadId = undefined
    this.#fault = undefined
  }

  readBack(): never {
    throw new InternalError('what is in a bucket is not read back by the one who writes it')
  }

  async finish(): Promise<void> {
    await this.drain()
    this.#check()
    if (this.#uploadId === undefined) await this.#putAtOnce()
    else {
      // An upload has at least one part, and the last may be of any length.
      if (this.#filled > 0) this.#ship()
      for (const { sending } of this.#buffers) await sending
      this.#check()
      const sha256 = await this.#hashes!.end()
      await this.#complete(await this.#uploadId, await Promise.all(this.#parts))
      await this.#compareLength()
      this.digest.sha256 = sha256
    }
    this.#close()
  }

  discard(): void {
    if (this.#isOver) return
    this.#abandon()
    this.#close()
  }

  #close(): void {
    this.#isOver = true
    this.#buffers = noBuffers()
    this.#hashes?.close()
  }

  async #begin(): Promise<string> {
    const { sdk, send } = this.#client
    const { bucket: Bucket, key: Key } = this.#target
    const { UploadId } = await send(`write ${Key}`, async (client, options) =>
      client.send(new sdk.CreateMultipartUploadCommand({ Bucket, Key }), options),
    )
    if (UploadId === undefined) throw this.#senseless('an upload without an id')
    return UploadId
  }

  async #uploadPart(
    uploadId: Promise<string>,
    number: number,
    body: Buffer,
    hashing: Promise<PartHashes>,
  ): Promise<Part> {
    const { sdk, send } = this.#client
    const { bucket: Bucket, key: Key, isTagMd5 } = this.#target
    const [UploadId, { md5, sha256 }] = await Promise.all([uploadId, hashing])
    const command = new sdk.UploadPartCommand({
      ...{ Bucket, Key, UploadId, PartNumber: number },
      ...{ Body: body, ContentLength: body.length },
      ContentMD5: Buffer.from(md5, 'hex').toString('base64'),
    })
    command.middlewareStack.add(knowing(sha256), { step: 'build' })
    const { ETag, ServerSideEncryption } = await send(
      `write part ${number} of ${Key}`,
      async (client, options) => client.send(command, options),
    )
    const isKeyed = ServerSideEncryption?.startsWith('aws:kms') === true
    if (isTagMd5 && !isKeyed && ETag?.replaceAll('"', '') !== md5) {
      throw new FileError('ERR_STORE_DAMAGED', `part ${number} of ${Key} is not what was sent`, {
        hint: 'the bytes were changed on their way to the store, or in it',
        details: { bucket: Bucket },
      })
    }
    return { ETag, PartNumber: number }
  }

  async #complete(UploadId: string, Parts: Part[]): Promise<void> {
    const { sdk, send } = this.#client
    const { bucket: Bucket, key: Key } = this.#target
    const MultipartUpload = { Parts }
    try {
      await send(`complete ${Key}`, async (client, options) =>
        client.send(
          new sdk.CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload }),
          options,
        ),
      )
    } catch (error) {
      // It was completed, and the answer got lost: the second attempt finds no upload. The length,
      // compared next, tells.
      if (!isBucketFault(error, 'ERR_NO_SUCH_FILE')) throw error
    }
  }

  async #putAtOnce(): Promise<void> {
    const { sdk, send } = this.#client
    const { bucket: Bucket, key: Key } = this.#target
    const Body = this.#buffers[this.#filling].bytes.subarray(0, this.#filled)
    const ContentMD5 = createHash('md5').update(Body).digest('base64')
    const sha256 = createHash('sha256').update(Body).digest('hex')
    const command = new sdk.PutObjectCommand({
      ...{ Bucket, Key, Body, ContentMD5 },
      ContentLength: Body.length,
    })
    command.middlewareStack.add(knowing(sha256), { step: 'build' })
    await send(`write ${Key}`, async (client, options) => client.send(command, options))
    this.digest.sha256 = sha256
  }

  async #compareLength(): Promise<void> {
    const { sdk, send } = this.#client
    const { bucket: Bucket, key: Key } = this.#target
    const { ContentLength } = await send(`read ${Key}`, async (client, options) =>
      client.send(new sdk.HeadObjectCommand({ Bucket, Key }), options),
    )
    if (ContentLength === this.writtenBytes) return
    throw this.#senseless(`${ContentLength ?? 0} bytes of ${this.writtenBytes} that were sent`)
  }

  /** The store forgets what it has of it. */
  #abandon(): void {
    const uploadId = this.#uploadId
    if (uploadId === undefined) return
    const { sdk, send } = this.#client
    const { bucket: Bucket, key: Key } = this.#target
    const pending = this.#parts
    const abandoned = (async () => {
      await Promise.allSettled(pending)
      const UploadId = await uploadId
      const command = new sdk.AbortMultipartUploadCommand({ Bucket, Key, UploadId })
      await send(`give up ${Key}`, async (client, options) => client.send(command, options), {
        isTidying: true,
      })
    })()
    // What cannot be put away now is found by the next run.
    this.tidied = Promise.allSettled([this.tidied, abandoned]).then(() => undefined)
  }

  #senseless(what: string): ProtocolError {
    const { bucket, key } = this.#target
    return new ProtocolError('ERR_STORE_REFUSED', `s3://${bucket}/${key}: ${what}`)
  }

  #check(): void {
    // The reason of the first failure, as it was.
    if (this.#fault !== undefined) throw this.#fault as Error
    if (this.#isOver) throw new FileError('ERR_CLOSED', `${this.#target.key} is closed`)
  }
}

function noBuffers(): [PartBuffer, PartBuffer] {
  return [
    { bytes: Buffer.alloc(0), sending: undefined },
    { bytes: Buffer.alloc(0), sending: undefined },
  ]
}

/** What a request is signed with, so that it is not hashed once more. */
function knowing(sha256: string) {
  return <Args extends { request: unknown }, Result>(next: (args: Args) => Promise<Result>) =>
    async (args: Args): Promise<Result> => {
      const { headers } = args.request as { headers: Record<string, string> }
      headers[HEADER_SHA256] = sha256
      return await next(args)
    }
}
