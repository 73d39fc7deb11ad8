/**
 * Backups in a bucket: `s3://bucket/prefix`. A folder is what its keys have in common.
 *
 * A folder that is being filled holds a mark of who fills it, which also shows, before anything costly
 * begins, that the store can be written. Its record is put last. What a killed run left is known by its
 * mark, or by its age; uploads that were not ended are ended with it.
 */
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import type { Output } from '../../disk/output/output.js'
import { newOwnerToken, ownerStateOf } from '../../disk/owner.js'
import { RrepError, UsageError } from '../../errors.js'
import { isBucketFault } from './bucket-error.js'
import { connectBucket, type BucketClient } from './client.js'
import { openRanges } from './ranges.js'
import { Upload } from './uploader.js'
import type {
  NewFolder,
  NewObjectOptions,
  Store,
  StoredFile,
  StoredObject,
  StorePath,
} from '../store.js'

const MARK_FILE = 'rrep-writing'
const MAX_MARK_BYTES = 1024
const LEAST_PART_BYTES = 16 << 20
/** Of the 10,000 that an upload may have; some are to spare. */
const MOST_PARTS = 9000
/** Of what nobody can tell whose it is. */
const STALE_MS = 24 * 3600 * 1000
const PLACE = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/

interface Listed {
  key: string
  sizeBytes: number
  atMs: number
}

export class BucketStore implements Store {
  readonly place: string
  readonly #client: BucketClient
  readonly #bucket: string
  /** Empty, or with a slash at its end. */
  readonly #prefix: string

  private constructor(client: BucketClient, bucket: string, prefix: string) {
    this.#client = client
    this.#bucket = bucket
    this.#prefix = prefix === '' ? '' : `${prefix}/`
    this.place = `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`
  }

  /** Asks nothing of the store yet. Throws UsageError. */
  static async connect(place: string, signal: AbortSignal | undefined): Promise<BucketStore> {
    const found = PLACE.exec(place)
    const parts = (found?.[2] ?? '').replace(/\/+$/, '').split('/')
    const isPath = parts.length === 1 || parts.every((each) => each !== '' && !/^\.\.?$/.test(each))
    if (found === null || !isPath) {
      throw new UsageError(`${place} names no place in a bucket`, {
        hint: 'write s3://BUCKET or s3://BUCKET/PREFIX',
      })
    }
    const bucket = found[1]!
    return new BucketStore(await connectBucket(bucket, signal), bucket, parts.join('/'))
  }

  pathOf(path: StorePath): string {
    return [this.place, ...path].join('/')
  }

  /** Every prefix is there: what is asked for is whether the bucket answers. */
  async isThere(): Promise<boolean> {
    await this.#listPage(this.#prefix, { limit: 1 })
    return true
  }

  async folders(path: StorePath): Promise<readonly string[]> {
    const prefix = `${this.#keyOf(path)}${path.length === 0 ? '' : '/'}`
    const names: string[] = []
    let from: string | undefined
    do {
      const page = await this.#listPage(prefix, { isFlat: true, from })
      for (const each of page.folders) names.push(each.slice(prefix.length, -1))
      from = page.next
    } while (from !== undefined)
    return names.sort()
  }

  async put(path: StorePath, text: string): Promise<void> {
    await putText(this.#client, this.#bucket, this.#keyOf(path), text)
  }

  async readText(path: StorePath, maxBytes: number): Promise<string | undefined> {
    try {
      const { stream, sizeBytes } = await this.open(path)
      if (sizeBytes > maxBytes) return undefined
      const chunks: Buffer[] = []
      for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk)
      return Buffer.concat(chunks).toString('utf8')
    } catch (error) {
      if (isBucketFault(error, 'ERR_NO_SUCH_FILE')) return undefined
      throw error
    }
  }

  async open(path: StorePath): Promise<StoredObject> {
    const key = this.#keyOf(path)
    const { stream, sizeBytes } = await openRanges(this.#client, this.#bucket, key)
    return { name: this.pathOf(path), stream, sizeBytes }
  }

  async files(path: StorePath): Promise<readonly StoredFile[]> {
    const prefix = `${this.#keyOf(path)}/`
    const objects = await this.#listAll(path)
    return objects
      .map(({ key, sizeBytes }) => ({ name: key.slice(prefix.length), sizeBytes }))
      .filter(({ name }) => name !== '' && !name.includes('/'))
  }

  async create(path: StorePath, { expectedBytes }: NewObjectOptions): Promise<Output> {
    const target = { bucket: this.#bucket, key: this.#keyOf(path), isTagMd5: false }
    const upload = new Upload(this.#client, { ...target, partBytes: partBytesFor(expectedBytes) })
    return await Promise.resolve(upload)
  }

  async removeFile(path: StorePath): Promise<void> {
    await this.#remove(this.#keyOf(path))
  }

  async tidyFolder(path: StorePath): Promise<void> {
    await this.#endUploads(path, () => true)
  }

  async changedAtMs(path: StorePath): Promise<number | undefined> {
    const objects = await this.#listAll(path)
    return objects.reduce<number | undefined>(
      (newest, { atMs }) => Math.max(newest ?? atMs, atMs),
      undefined,
    )
  }

  async createFolder(path: StorePath): Promise<NewFolder> {
    const folder = new NewBucketFolder(
      this.#client,
      this.#bucket,
      this.#keyOf(path),
      this.pathOf(path),
    )
    await folder.mark()
    return folder
  }

  async removeFolder(path: StorePath, record: string): Promise<void> {
    // Who is killed on the way is known by it. A key that may not write removes all the same.
    await this.put([...path, MARK_FILE], `${newOwnerToken()}\n`).catch(() => undefined)
    await this.#remove(this.#keyOf([...path, record]))
    await this.#removeMarked(path)
  }

  /** The mark last: until then the next run knows what this is. */
  async #removeMarked(path: StorePath): Promise<void> {
    const mark = this.#keyOf([...path, MARK_FILE])
    for (const { key } of await this.#listAll(path)) if (key !== mark) await this.#remove(key)
    await this.#endUploads(path, () => true)
    await this.#remove(mark)
  }

  async removeUnborn(path: StorePath, names: readonly string[]): Promise<void> {
    const dead = new Set<string>()
    for (const name of names) {
      const mark = await this.readText([...path, name, MARK_FILE], MAX_MARK_BYTES)
      if (mark === undefined || ownerStateOf(mark.trim()) !== 'dead') continue
      dead.add(name)
      await this.#removeMarked([...path, name])
    }
    const prefix = `${this.#keyOf(path)}/`
    await this.#endUploads(path, (key, atMs) => {
      const name = key.slice(prefix.length).split('/')[0]!
      return dead.has(name) || Date.now() - atMs > STALE_MS
    })
  }

  async #remove(Key: string): Promise<void> {
    const { sdk, send } = this.#client
    const command = new sdk.DeleteObjectCommand({ Bucket: this.#bucket, Key })
    try {
      await send(`remove ${Key}`, async (client, options) => client.send(command, options))
    } catch (error) {
      // Somebody else was faster.
      if (!isBucketFault(error, 'ERR_NO_SUCH_FILE')) throw error
    }
  }

  async #endUploads(
    path: StorePath,
    isOver: (key: string, atMs: number) => boolean,
  ): Promise<void> {
    const { sdk, send } = this.#client
    const Bucket = this.#bucket
    const Prefix = `${this.#keyOf(path)}/`
    try {
      const { Uploads = [] } = await send(`list uploads of ${Prefix}`, async (client, options) =>
        client.send(new sdk.ListMultipartUploadsCommand({ Bucket, Prefix }), options),
      )
      for (const { Key, UploadId, Initiated } of Uploads) {
        if (Key?.startsWith(Prefix) !== true || !isOver(Key, Initiated?.getTime() ?? 0)) continue
        const command = new sdk.AbortMultipartUploadCommand({ Bucket, Key, UploadId })
        await send(`give up ${Key}`, async (client, options) => client.send(command, options))
      }
    } catch (error) {
      // Some stores do not list them, and some keys may not: the rules of the bucket end them then.
      const isSaid = error instanceof RrepError && !error.retriable
      if (!isSaid || error.code === 'ERR_ABORTED') throw error
    }
  }

  async #listAll(path: StorePath): Promise<readonly Listed[]> {
    const objects: Listed[] = []
    let from: string | undefined
    do {
      const page = await this.#listPage(`${this.#keyOf(path)}/`, { from })
      objects.push(...page.objects)
      from = page.next
    } while (from !== undefined)
    return objects
  }

  async #listPage(
    Prefix: string,
    { isFlat, from, limit }: { isFlat?: boolean; from?: string | undefined; limit?: number },
  ): Promise<{ objects: readonly Listed[]; folders: readonly string[]; next: string | undefined }> {
    const { sdk, send } = this.#client
    const command = new sdk.ListObjectsV2Command({
      Bucket: this.#bucket,
      Prefix,
      Delimiter: isFlat === true ? '/' : undefined,
      ContinuationToken: from,
      MaxKeys: limit,
    })
    const page = await send(`list ${Prefix}`, async (client, options) =>
      client.send(command, options),
    )
    const { Contents = [], CommonPrefixes = [], IsTruncated, NextContinuationToken } = page
    return {
      objects: Contents.map(({ Key, LastModified, Size }) => ({
        key: Key ?? '',
        sizeBytes: Size ?? 0,
        atMs: LastModified?.getTime() ?? 0,
      })),
      folders: CommonPrefixes.map(({ Prefix: each }) => each ?? ''),
      next: IsTruncated === true ? NextContinuationToken : undefined,
    }
  }

  #keyOf(path: StorePath): string {
    return `${this.#prefix}${path.join('/')}`
  }
}

function partBytesFor(expectedBytes = 0): number {
  return Math.max(LEAST_PART_BYTES, Math.ceil(expectedBytes / MOST_PARTS))
}

class NewBucketFolder implements NewFolder {
  readonly place: string
  /** Nothing is spooled on the way to a bucket: its writer is held up. */
  readonly spoolDirectory = tmpdir()
  readonly #client: BucketClient
  readonly #bucket: string
  readonly #key: string
  readonly #uploads: Upload[] = []
  readonly #written = new Set<string>()
  #isTagMd5 = false
  #isDone = false

  constructor(client: BucketClient, bucket: string, key: string, place: string) {
    this.#client = client
    this.#bucket = bucket
    this.#key = key
    this.place = place
  }

  /** Throws where nothing could be written. */
  async mark(): Promise<void> {
    const text = `${newOwnerToken()}\n`
    const tag = await this.#put(MARK_FILE, text)
    this.#isTagMd5 = tag?.replaceAll('"', '') === createHash('md5').update(text).digest('hex')
  }

  async create(file: string, { expectedBytes }: NewObjectOptions): Promise<Output> {
    this.#written.add(file)
    const upload = new Upload(this.#client, {
      bucket: this.#bucket,
      key: `${this.#key}/${file}`,
      partBytes: partBytesFor(expectedBytes),
      isTagMd5: this.#isTagMd5,
    })
    this.#uploads.push(upload)
    return await Promise.resolve(upload)
  }

  async put(file: string, text: string): Promise<void> {
    await this.#put(file, text)
  }

  async clear(): Promise<void> {
    await this.#endUploads()
    for (const file of this.#written) if (file !== MARK_FILE) await this.#remove(file)
  }

  async commit(record: string, text: string): Promise<void> {
    await this.#put(record, text)
    this.#isDone = true
    await this.#endUploads()
    // A key that may not delete leaves it there: it is in nobody's way.
    await this.#remove(MARK_FILE).catch(() => undefined)
  }

  async discard(): Promise<void> {
    if (this.#isDone) return
    this.#isDone = true
    await this.#endUploads()
    // The mark last: what could not be removed is found by it.
    const files = [...this.#written].filter((each) => each !== MARK_FILE)
    for (const file of [...files, MARK_FILE]) await this.#remove(file).catch(() => undefined)
  }

  async #endUploads(): Promise<void> {
    for (const upload of this.#uploads) {
      upload.discard()
      await upload.tidied
    }
    this.#uploads.length = 0
  }

  async #put(file: string, text: string): Promise<string | undefined> {
    this.#written.add(file)
    return await putText(this.#client, this.#bucket, `${this.#key}/${file}`, text)
  }

  async #remove(file: string): Promise<void> {
    const { sdk, send } = this.#client
    const Key = `${this.#key}/${file}`
    const command = new sdk.DeleteObjectCommand({ Bucket: this.#bucket, Key })
    const tidying = { isTidying: true }
    await send(`remove ${Key}`, async (client, options) => client.send(command, options), tidying)
    this.#written.delete(file)
  }
}

async function putText(
  { sdk, send }: BucketClient,
  Bucket: string,
  Key: string,
  text: string,
): Promise<string | undefined> {
  const Body = Buffer.from(text)
  const ContentMD5 = createHash('md5').update(Body).digest('base64')
  const command = new sdk.PutObjectCommand({ Bucket, Key, Body, ContentMD5 })
  const { ETag } = await send(`write ${Key}`, async (client, options) =>
    client.send(command, options),
  )
  return ETag
}
