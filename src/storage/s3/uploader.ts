/**
 * An object that grows in a bucket, part by part, and is there only once it is whole.
 *
 * Two buffers of one part each, used again and again: one is filled while the other is on its way. All
 * parts but the last are equally long, as some stores demand. What fits into one part is put at once.
 */
import { createHash } from 'node:crypto'
import type { Output } from '../../disk/output/output.js'
import { FileError, InternalError, ProtocolError } from '../../errors.js'
import type { BucketClient } from './client.js'
import { isBucketFault } from './bucket-error.js'

export interface UploadTarget {
  bucket: string
  key: string
  partBytes: number
  /** The store answers a part with its MD5: then it is compared. */
  isTagMd5: boolean
}

const FIRST_BYTES = 1 << 20
const GROWTH = 4

interface Part {
  ETag: string | undefined
  PartNumber: number
}

export class Upload implements Output {
  readonly canRestart = true
  readonly canTakeBack = true
  readonly canReadBack = false
  writtenBytes = 0
  readonly #client: BucketClient
  readonly #target: UploadTarget
  #buffers: [Buffer | undefined, Buffer | undefined] = [undefined, undefined]
  #filling = 0
  #filled = 0
  /** What came while both buffers were in use. */
  #rest: Buffer[] = []
  #uploadId: Promise<string> | undefined
  #parts: Part[] = []
  #onItsWay: Promise<void> | undefined
  #fault: unknown
  #isOver = false
  /** Uploads given up are put away behind it. */
  tidied: Promise<void> = Promise.resolve()

  constructor(client: BucketClient, target: UploadTarget) {
    this.#client = client
    this.#target = target
  }

  write(bytes: Uint8Array, start = 0, end = bytes.length): void {
    this.#check()
    this.writtenBytes += end - start
    this.#take(bytes, start, end)
  }

  #take(bytes: Uint8Array, start: number, end: number): void {
    let at = start
    while (at < end) {
      if (this.#filled === this.#target.partBytes && !this.#ship()) {
        this.#rest.push(Buffer.from(bytes.subarray(at, end)))
        return
      }
      const buffer = this.#room()
      const count = Math.min(end - at, buffer.length - this.#filled)
      buffer.set(bytes.subarray(at, at + count), this.#filled)
      this.#filled += count
      at += count
    }
  }

  /** The buffer being filled, larger where it is full: what is small takes little memory. */
  #room(): Buffer {
    const { partBytes } = this.#target
    const buffer = this.#buffers[this.#filling]
    if (buffer !== undefined && this.#filled < buffer.length) return buffer
    const bytes = this.#parts.length > 0 ? partBytes : (buffer?.length ?? 0) * GROWTH
    const larger = Buffer.allocUnsafeSlow(Math.min(partBytes, Math.max(FIRST_BYTES, bytes)))
    buffer?.copy(larger, 0, 0, this.#filled)
    this.#buffers[this.#filling] = larger
    return larger
  }

  /** The full buffer goes on its way, unless the other one still is. */
  #ship(): boolean {
    if (this.#onItsWay !== undefined) return false
    const buffer = this.#buffers[this.#filling]!.subarray(0, this.#filled)
    this.#filling = 1 - this.#filling
    this.#filled = 0
    const parts = this.#parts
    const number = parts.length + 1
    this.#uploadId ??= this.#begin()
    const uploadId = this.#uploadId
    this.#onItsWay = this.#uploadPart(uploadId, number, buffer).then(
      (part) => {
        parts.push(part)
        this.#onItsWay = undefined
      },
      (error: unknown) => {
        // Of an upload that was given up it is no matter.
        if (parts === this.#parts) this.#fault ??= error
        this.#onItsWay = undefined
      },
    )
    return true
  }

  drain(): Promise<void> | undefined {
    this.#check()
    return this.#rest.length === 0 ? undefined : this.#drained()
  }

  async #drained(): Promise<void> {
    while (this.#rest.length > 0) {
      await this.#onItsWay
      this.#check()
      const rest = this.#rest
      this.#rest = []
      for (const bytes of rest) this.#take(bytes, 0, bytes.length)
    }
  }

  restart(): void {
    this.#abandon()
    this.writtenBytes = 0
    this.#filled = 0
    this.#rest = []
    this.#parts = []
    this.#uploadId = undefined
    this.#fault = undefined
  }

  readBack(): never {
    throw new InternalError('what is in a bucket is not read back by the one who writes it')
  }

  async finish(): Promise<void> {
    await this.drain()
    await this.#onItsWay
    this.#check()
    if (this.#uploadId === undefined) await this.#putAtOnce()
    else {
      // An upload has at least one part, and the last may be of any length.
      if (this.#filled > 0) this.#ship()
      await this.#onItsWay
      this.#check()
      await this.#complete(await this.#uploadId)
      await this.#compareLength()
    }
    this.#isOver = true
    this.#buffers = [undefined, undefined]
  }

  discard(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#abandon()
    this.#buffers = [undefined, undefined]
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

  async #uploadPart(uploadId: Promise<string>, number: number, body: Buffer): Promise<Part> {
    const { sdk, send } = this.#client
    const { bucket: Bucket, key: Key, isTagMd5 } = this.#target
    const UploadId = await uploadId
    const md5 = createHash('md5').update(body).digest()
    const { ETag, ServerSideEncryption } = await send(
      `write part ${number} of ${Key}`,
      async (client, options) =>
        client.send(
          new sdk.UploadPartCommand({
            Bucket,
            Key,
            UploadId,
            PartNumber: number,
            Body: body,
            ContentLength: body.length,
            ContentMD5: md5.toString('base64'),
          }),
          options,
        ),
    )
    const isKeyed = ServerSideEncryption?.startsWith('aws:kms') === true
    if (isTagMd5 && !isKeyed && ETag?.replaceAll('"', '') !== md5.toString('hex')) {
      throw new FileError('ERR_STORE_DAMAGED', `part ${number} of ${Key} is not what was sent`, {
        hint: 'the bytes were changed on their way to the store, or in it',
        details: { bucket: Bucket },
      })
    }
    return { ETag, PartNumber: number }
  }

  async #complete(UploadId: string): Promise<void> {
    const { sdk, send } = this.#client
    const { bucket: Bucket, key: Key } = this.#target
    const MultipartUpload = { Parts: this.#parts }
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
    const Body = (this.#buffers[this.#filling] ?? Buffer.alloc(0)).subarray(0, this.#filled)
    const ContentMD5 = createHash('md5').update(Body).digest('base64')
    await send(`write ${Key}`, async (client, options) =>
      client.send(
        new sdk.PutObjectCommand({ Bucket, Key, Body, ContentLength: Body.length, ContentMD5 }),
        options,
      ),
    )
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
    const pending = this.#onItsWay
    const abandoned = (async () => {
      await pending
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
