/** The files of a backup, read whole: what they are by their bytes. */
import { createHash, type Hash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { pipeline, Transform } from 'node:stream'
import { KeyAnalysis } from '../../analyze/key-analysis.js'
import { fileError } from '../../disk/file-error.js'
import { openOutput } from '../../disk/output/open-output.js'
import { AbortedError, RdbError, RrepError } from '../../errors.js'
import { DEPTH, type RdbSummary, type RdbVisitor, type Slice } from '../../rdb/visitor.js'
import { MAGIC_BYTES, parseRdbMagic } from '../../rdb/head.js'
import { RdbParser } from '../../rdb/parser.js'
import { pumpRdb } from '../../source/rdb-input.js'
import { openInput, openStream, type OpenInputOptions } from '../../source/source.js'
import type { RdbMagic } from '../../servers/rdb-version.js'
import type { Progress } from '../../source/progress.js'
import type { StoredObject } from '../../storage/store.js'

export interface DumpFacts {
  bytes: number
  sha256: string
  keys: number
  expires: number
  databases: Record<string, { keys: number; expires: number }>
  crc64: string | undefined
  magic: RdbMagic
  aux: ReadonlyMap<string, string>
}

/** What a walk counts. */
export class DumpCounts {
  readonly #databases: DumpFacts['databases'] = {}
  readonly #aux = new Map<string, string>()
  #keys = 0
  #expires = 0

  readonly visitor: RdbVisitor = {
    key: (header) => {
      this.#keys += 1
      const count = this.#databases[header.dbnum] ?? { keys: 0, expires: 0 }
      this.#databases[header.dbnum] = count
      count.keys += 1
      if (header.hasExpiry) {
        this.#expires += 1
        count.expires += 1
      }
      return DEPTH.SKIP
    },
    aux: (field, value) => {
      this.#aux.set(textOf(field), textOf(value))
    },
  }

  facts(
    { bytes, sha256 }: { bytes: number; sha256: string },
    { family, version, crc64 }: Pick<RdbSummary, 'family' | 'version' | 'crc64'>,
  ): DumpFacts {
    return {
      bytes,
      sha256,
      keys: this.#keys,
      expires: this.#expires,
      databases: this.#databases,
      crc64,
      magic: { family, version },
      aux: this.#aux,
    }
  }
}

/** Every byte of it is read, once, and every value walked. Rejects with RdbError, FileError, AbortedError. */
export async function readDump(
  { name, stream, sizeBytes }: StoredObject,
  options: OpenInputOptions,
  onProgress?: (progress: Progress<'check'>) => void,
): Promise<DumpFacts> {
  const { signal } = options
  const counts = new DumpCounts()
  const parser = new RdbParser(counts.visitor, { file: name, validate: true })
  const counted = new HashedBytes()
  // Its error comes out of the last one.
  pipeline(stream, counted, () => undefined)
  try {
    const input = await openStream(counted, name, sizeBytes, options)
    const rdb = { input, name, increments: [], close: () => input.close() }
    const { summary } = await pumpRdb(rdb, parser, {
      signal,
      onProgress: (done) => onProgress?.({ phase: 'check', done, total: sizeBytes, unit: 'bytes' }),
    })
    return counts.facts(counted, summary)
  } catch (error) {
    throw readError(name, error, signal)
  } finally {
    stream.destroy()
  }
}

/** The same of one that was just written, whose hash is known: what the kernels count as they compare the
 * checksum. One without a checksum is walked. Rejects as `readDump`. */
export async function countDump(
  open: () => Promise<StoredObject>,
  written: { bytes: number; sha256: string },
  options: OpenInputOptions,
  onProgress?: (progress: Progress<'check'>) => void,
): Promise<DumpFacts> {
  const { signal } = options
  const object = await open()
  const { name, path, sizeBytes } = object
  const analysis = new KeyAnalysis({ nowMs: Date.now(), top: 0 })
  const parser = new RdbParser(analysis, { file: name, lane: analysis.lane })
  try {
    const input =
      path === undefined
        ? await openStream(object.stream, name, sizeBytes, options)
        : await openInput(path, options)
    const rdb = { input, name, increments: [], close: () => input.close() }
    const { summary } = await pumpRdb(rdb, parser, {
      signal,
      onProgress: (done) => onProgress?.({ phase: 'check', done, total: sizeBytes, unit: 'bytes' }),
    })
    input.close()
    return await countedFacts(open, { analysis, summary, written }, options, onProgress)
  } catch (error) {
    throw readError(name, error, signal)
  } finally {
    if (path === undefined) object.stream.destroy()
  }
}

/** Of a dump that the kernels have counted; one without a checksum is walked. Rejects as `readDump`. */
export async function countedFacts(
  open: () => Promise<StoredObject>,
  counted: CountedDump,
  options: OpenInputOptions,
  onProgress?: (progress: Progress<'check'>) => void,
): Promise<DumpFacts> {
  const facts = factsOf(counted)
  if (counted.summary.checksum !== 'absent') return facts
  const object = await open()
  const walked = await readDump(object, options, onProgress)
  compareBytes(object.name, walked, facts)
  return walked
}

interface CountedDump {
  analysis: KeyAnalysis
  summary: RdbSummary
  written: { bytes: number; sha256: string }
}

export function factsOf({ analysis, summary, written }: CountedDump): DumpFacts {
  const { family, version, crc64 } = summary
  const { bytes, sha256 } = written
  const databases: DumpFacts['databases'] = {}
  for (const [db, { keys, expires }] of analysis.databases()) databases[db] = { keys, expires }
  const { keys, expires, auxFields: aux } = analysis
  return { bytes, sha256, keys, expires, databases, crc64, magic: { family, version }, aux }
}

function readError(name: string, error: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted === true) return new AbortedError()
  return error instanceof RrepError ? error : fileError(name, 'read', error)
}

class HashedBytes extends Transform {
  bytes = 0
  readonly #hash: Hash = createHash('sha256')

  override _transform(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error: null, chunk: Buffer) => void,
  ): void {
    this.bytes += chunk.length
    this.#hash.update(chunk)
    done(null, chunk)
  }

  /** Hex; once, at the end. */
  get sha256(): string {
    return this.#hash.digest('hex')
  }
}

function textOf({ bytes, start, end }: Slice): string {
  return bytes.toString('latin1', start, end)
}

/** Throws RdbError where the bytes are not those that the record says. */
export function compareBytes(
  path: string,
  found: { bytes: number; sha256: string },
  recorded: { bytes: number; sha256: string },
): void {
  if (found.bytes !== recorded.bytes) throw notAsStored(path, 'length')
  if (found.sha256 !== recorded.sha256) throw notAsStored(path, 'hash')
}

export function notAsStored(path: string, what: string): RdbError {
  const message = `it is not what was stored: another ${what}`
  return new RdbError('ERR_RDB_CORRUPT', { file: path }, message)
}

/** Hex. `take` has each piece first. */
export async function hashObject(
  { name, stream }: StoredObject,
  signal: AbortSignal | undefined,
  take?: (chunk: Buffer) => Promise<void>,
): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256')
  let bytes = 0
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (signal?.aborted === true) throw new AbortedError()
      hash.update(chunk)
      bytes += chunk.length
      if (take !== undefined) await take(chunk)
    }
    return { bytes, sha256: hash.digest('hex') }
  } catch (error) {
    throw readError(name, error, signal)
  }
}

/** Into a file of that name: the plain dump. What was read is compared with the record. */
export async function unpack(
  { stream, name, sizeBytes }: StoredObject,
  to: string,
  recorded: { bytes: number; sha256: string },
  options: OpenInputOptions,
): Promise<void> {
  const { signal } = options
  const counted = new HashedBytes()
  pipeline(stream, counted, () => undefined)
  const input = await openStream(counted, name, sizeBytes, options)
  const output = await openOutput(to, { signal })
  try {
    await input.pump(
      (chunk) => {
        output.write(chunk, 0, chunk.length)
        const waiting = output.drain()
        return waiting === undefined ? true : waiting.then(() => true)
      },
      { signal },
    )
    compareBytes(name, { bytes: counted.bytes, sha256: counted.sha256 }, recorded)
    await output.finish()
  } catch (error) {
    output.discard()
    throw readError(name, error, signal)
  } finally {
    input.close()
  }
}

/** Of a plain dump. Throws ProtocolError where it is none. */
export function magicOf(dump: string): RdbMagic {
  const fd = openSync(dump, 'r')
  try {
    const head = Buffer.alloc(MAGIC_BYTES)
    return parseRdbMagic(head.subarray(0, readSync(fd, head)))
  } finally {
    closeSync(fd)
  }
}
