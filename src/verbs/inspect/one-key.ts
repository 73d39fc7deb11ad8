/**
 * `inspect --key`: one key of a file, whole: what is known of it, how it is stored in the file, and
 * every element. The file is read to its end, since the key may be in several databases.
 */
import { Buffer } from 'node:buffer'
import { KeyAnalysis, type AnalyzedKey } from '../../analyze/key-analysis.js'
import { OutputBuffer } from '../../bytes/output-buffer.js'
import { JsonKeys } from '../../formats/json-keys.js'
import { ByteKernel } from '../../kernels/kernel.js'
import { forwardElements } from '../../rdb/forward.js'
import {
  DEPTH,
  typeNameOf,
  type Depth,
  type ElementVisitor,
  type KeyHeader,
  type RdbStart,
  type Slice,
  type StreamConsumer,
  type StreamGroup,
  type StreamId,
  type StreamMeta,
  type U64,
  type ValueStats,
} from '../../rdb/visitor.js'
import { deliveryCountText } from '../../rdb/values/delivery-count.js'
import { streamIdText, u64Text } from '../../rdb/values/u64.js'
import type { InspectKeyOptions, KeyDetail, KeyElement, KeyPlace, ReadOutcome } from './options.js'
import type { SourceName } from '../../source/classify.js'
import { readRdbFile } from './run.js'

export type { InspectKeyOptions, KeyDetail, KeyElement, KeyPlace } from './options.js'

export const MAX_RAW_BYTES = 4096
const JSON_BYTES = 1 << 18

/** Throws as `inspect` does; damage is in the result. */
export async function inspectKey(
  source: SourceName,
  options: InspectKeyOptions,
): Promise<ReadOutcome> {
  const finder = new KeyFinder(options)
  const outcome = await readRdbFile(source, finder, options, false)
  finder.flush()
  return outcome
}

/** Analyses every key as usual, and tells the elements of one. */
class KeyFinder extends KeyAnalysis implements ElementVisitor {
  readonly #wanted: Uint8Array
  readonly #dbs: readonly number[] | undefined
  readonly #tell: (element: KeyElement) => void
  readonly #begin: ((place: KeyPlace) => void) | undefined
  readonly rawWithElements = true
  #raw: Buffer[] = []
  #rawRoom = 0
  readonly #json: JsonKeys | undefined
  readonly #out: OutputBuffer | undefined

  constructor({ key, onBegin, onElement, onFound, nowMs, filter, json }: InspectKeyOptions) {
    super({
      nowMs: nowMs ?? 0,
      top: 0,
      onKey: (found) => {
        if (this.#matches(found.header)) onFound(detailOf(found, Buffer.concat(this.#raw)))
      },
    })
    this.#wanted = key
    this.#dbs = filter?.dbs
    this.#tell = onElement ?? noElement
    this.#begin = onBegin
    if (json === undefined) return
    const kernel = new ByteKernel(JSON_BYTES)
    this.#out = new OutputBuffer(json.write, kernel.allocate(JSON_BYTES))
    this.#json = new JsonKeys(this.#out, kernel, { strings: json.strings, layout: 'lines' })
    Object.assign(this, forwardElements(this.#json))
  }

  override start(start: RdbStart): void {
    super.start(start)
    this.#json?.start(start)
  }

  override aux(name: Slice, value: Slice): void {
    super.aux(name, value)
    this.#json?.aux(name, value)
  }

  override key(header: KeyHeader): Depth {
    super.key(header)
    if (!this.#matches(header)) return DEPTH.SKIP
    this.#raw = []
    this.#rawRoom = MAX_RAW_BYTES
    this.flush()
    this.#begin?.(placeOf(header))
    return this.#json?.key(header) ?? DEPTH.ELEMENTS
  }

  override keyEnd(header: KeyHeader, stats: ValueStats): void {
    if (this.#json !== undefined && this.#matches(header)) {
      this.#json.keyEnd(header, stats)
      this.#json.finish()
    }
    super.keyEnd(header, stats)
  }

  /** Hands out what was written of a key whose end did not come. */
  flush(): void {
    this.#out?.drop()
    this.#out?.flush()
  }

  rawValue(bytes: Buffer, start: number, end: number): void {
    const count = Math.min(this.#rawRoom, end - start)
    if (count === 0) return
    this.#raw.push(Buffer.from(bytes.subarray(start, start + count)))
    this.#rawRoom -= count
  }

  #matches({ key, dbnum }: KeyHeader): boolean {
    return (
      (this.#dbs?.includes(dbnum) ?? true) &&
      key.end - key.start === this.#wanted.length &&
      key.bytes.compare(this.#wanted, 0, this.#wanted.length, key.start, key.end) === 0
    )
  }

  stringValue(value: Slice): void {
    this.#tell({ kind: 'string', value: copy(value) })
  }

  stringPart(part: Slice): void {
    this.#tell({ kind: 'part', value: copy(part) })
  }

  listElement(value: Slice): void {
    this.#tell({ kind: 'element', value: copy(value) })
  }

  setMember(value: Slice): void {
    this.#tell({ kind: 'member', value: copy(value) })
  }

  zsetMember(value: Slice, score: number): void {
    this.#tell({ kind: 'scored', value: copy(value), score })
  }

  hashField(field: Slice, value: Slice, expireAtMs: number): void {
    this.#tell({ kind: 'field', field: copy(field), value: copy(value), expireAtMs })
  }

  streamEntry(id: StreamId): void {
    this.#tell({ kind: 'entry', id: streamIdText(id) })
  }

  streamField(field: Slice, value: Slice): void {
    this.#tell({ kind: 'field', field: copy(field), value: copy(value), expireAtMs: -1 })
  }

  streamMeta(meta: StreamMeta): void {
    this.#meta('last id', streamIdText(meta.lastId))
    if (!meta.hasExtended) return
    this.#meta('entries added', u64Text(meta.entriesAdded))
    this.#meta('max deleted id', streamIdText(meta.maxDeletedId))
  }

  streamGroup(group: StreamGroup): void {
    this.#meta('group', copy(group.name))
    this.#meta('  last delivered id', streamIdText(group.lastId))
    if (group.hasEntriesRead) this.#meta('  entries read', u64Text(group.entriesRead))
    this.#meta('  pending', String(group.pending))
  }

  streamGroupPending(id: StreamId, deliveryTimeMs: number, deliveryCount: number): void {
    this.#meta(
      '    pending entry',
      `${streamIdText(id)}, delivered ${deliveryCountText(deliveryCount)} times, last at ${deliveryTimeMs}`,
    )
  }

  streamConsumer(consumer: StreamConsumer): void {
    this.#meta('  consumer', copy(consumer.name))
    this.#meta('    pending', String(consumer.pending))
  }

  streamConsumerPending(id: StreamId): void {
    this.#meta('    pending entry', streamIdText(id))
  }

  streamNacked(id: StreamId): void {
    this.#meta('  pending entry of nobody', streamIdText(id))
  }

  streamIdmp(durationSeconds: number, maxEntries: number): void {
    this.#meta('ids of producers are kept', `${durationSeconds} s, at most ${maxEntries}`)
  }

  streamProducer(producerId: Slice, ids: number): void {
    this.#meta('producer', copy(producerId))
    this.#meta('  ids', String(ids))
  }

  streamProducerId(iid: Slice, entryId: StreamId): void {
    this.#meta(`  id of entry ${streamIdText(entryId)}`, copy(iid))
  }

  streamIdmpEnd(idsAdded: U64, idsDuplicate: U64): void {
    this.#meta('ids added', u64Text(idsAdded))
    this.#meta('ids refused as duplicates', u64Text(idsDuplicate))
  }

  streamGroupEnd(): void {
    // What follows tells it.
  }

  arrayMeta(): void {
    // So it does of arrays.
  }

  moduleSigned(value: U64): void {
    this.#meta('integer', BigInt.asIntN(64, BigInt(u64Text(value))).toString())
  }

  moduleUnsigned(value: U64): void {
    this.#meta('integer', u64Text(value))
  }

  moduleFloat(value: number): void {
    this.#meta('float', String(value))
  }

  moduleDouble(value: number): void {
    this.#meta('double', String(value))
  }

  moduleString(value: Slice): void {
    this.#meta('string', copy(value))
  }

  arrayElement(index: U64, value: Slice): void {
    this.#meta(u64Text(index), copy(value))
  }

  gcra(value: U64): void {
    this.#meta('value', u64Text(value))
  }

  #meta(name: string, value: string | Buffer): void {
    this.#tell({ kind: 'meta', name, value })
  }
}

function noElement(): void {
  // The JSON has it.
}

function copy({ bytes, start, end }: Slice): Buffer {
  return Buffer.from(bytes.subarray(start, end))
}

function placeOf(header: KeyHeader): KeyPlace {
  return {
    dbnum: header.dbnum,
    key: copy(header.key),
    type: typeNameOf(header),
    expireAtMs: header.hasExpiry ? header.expireAtMs : -1,
    idleSeconds: header.idleSeconds,
    freq: header.freq,
    typeByte: header.typeByte,
    typeName: header.type.name,
    byteOffset: header.byteOffset,
    valueByteOffset: header.valueByteOffset,
  }
}

function detailOf({ header, stats, encoding, memory }: AnalyzedKey, raw: Buffer): KeyDetail {
  return {
    ...placeOf(header),
    encoding,
    memory,
    elements: stats.elements,
    serializedBytes: stats.serializedBytes,
    packedBlobs: stats.packedBlobs,
    packedBytes: stats.packedBytes,
    compressed: stats.compressed,
    raw,
  }
}
