/**
 * Builds the rows of a fixture's expected.jsonl from the events of the parser, in the plainest way
 * there is: objects, arrays, strings. It shares no code with what rrep prints, so that one can be
 * held against the other.
 */
import { readFileSync } from 'node:fs'
import { RdbParser, type RdbParserOptions } from '../../src/rdb/parser.js'
import { streamIdText, u64ToBigInt } from '../../src/rdb/values/u64.js'
import {
  DEPTH,
  KIND_NAMES,
  type RdbSummary,
  type RdbVisitor,
  type Slice,
} from '../../src/rdb/visitor.js'

export interface Row {
  db: number
  key: string
  type: string
  expireAt: number | null
  value: unknown
  freq?: number
  idleSeconds?: number
}

interface Group {
  name: string
  lastDeliveredId: string
  entriesRead?: string | number | null
  pending: [string, string, number][]
  consumers: string[]
}

const copy = ({ bytes, start, end }: Slice): Buffer => Buffer.from(bytes.subarray(start, end))
const b64 = (slice: Slice): string => copy(slice).toString('base64')

/** Collects everything of a file as rows, in file order. */
export class RowCollector implements RdbVisitor {
  readonly rows: Row[] = []
  readonly auxFields: [string, string][] = []
  readonly functions: string[] = []
  readonly notices: string[] = []
  private row: Row | undefined
  private list: unknown[] = []
  private parts: Buffer[] = []
  private stream: Record<string, unknown> = {}
  private groups: Group[] = []
  private deliveries = new Map<string, number>()
  private consumer = ''

  key(header: Parameters<RdbVisitor['key']>[0]): 2 {
    this.row = {
      db: header.dbnum,
      key: b64(header.key),
      type: header.moduleName === '' ? KIND_NAMES[header.kind]! : header.moduleName,
      expireAt: header.hasExpiry ? header.expireAtMs : null,
      value: null,
    }
    if (header.freq >= 0) this.row.freq = header.freq
    if (header.idleSeconds >= 0) this.row.idleSeconds = header.idleSeconds
    this.list = []
    this.stream = {}
    this.groups = []
    return DEPTH.ELEMENTS
  }

  keyEnd(header: Parameters<RdbVisitor['key']>[0]): void {
    const row = this.row!
    if (b64(header.key) !== row.key) throw new Error('the key of keyEnd is not that of key')
    if (row.type === 'list' || row.type === 'set' || row.type === 'zset' || row.type === 'hash') {
      row.value = this.list
    } else if (row.type === 'stream') {
      row.value = { entries: this.list, ...this.stream, groups: this.groups }
    }
    this.rows.push(row)
  }

  stringValue(value: Slice): void {
    this.row!.value = b64(value)
  }
  stringBegin(): void {
    this.parts = []
  }
  stringPart(part: Slice): void {
    this.parts.push(copy(part))
  }
  stringEnd(): void {
    this.row!.value = Buffer.concat(this.parts).toString('base64')
  }
  listElement(element: Slice): void {
    this.list.push(b64(element))
  }
  setMember(member: Slice): void {
    this.list.push(b64(member))
  }
  zsetMember(member: Slice, score: number): void {
    this.list.push([b64(member), score])
  }
  hashField(field: Slice, value: Slice, expireAtMs: number): void {
    this.list.push(expireAtMs < 0 ? [b64(field), b64(value)] : [b64(field), b64(value), expireAtMs])
  }
  streamEntry: NonNullable<RdbVisitor['streamEntry']> = (id) => {
    this.list.push([streamIdText(id), []])
  }
  streamField(field: Slice, value: Slice): void {
    const [, fields] = this.list.at(-1) as [string, unknown[]]
    fields.push([b64(field), b64(value)])
  }
  streamMeta: NonNullable<RdbVisitor['streamMeta']> = (meta) => {
    this.stream['lastId'] = streamIdText(meta.lastId)
    if (!meta.hasExtended) return
    this.stream['maxDeletedId'] = streamIdText(meta.maxDeletedId)
    this.stream['entriesAdded'] = Number(u64ToBigInt(meta.entriesAdded))
  }
  streamGroup: NonNullable<RdbVisitor['streamGroup']> = (group) => {
    this.deliveries = new Map()
    this.groups.push({
      name: b64(group.name),
      lastDeliveredId: streamIdText(group.lastId),
      ...(this.stream['entriesAdded'] === undefined
        ? {}
        : { entriesRead: group.hasEntriesRead ? u64ToBigInt(group.entriesRead).toString() : null }),
      pending: [],
      consumers: [],
    })
  }
  streamGroupPending: NonNullable<RdbVisitor['streamGroupPending']> = (id, _time, count) => {
    this.deliveries.set(streamIdText(id), count)
  }
  streamConsumer: NonNullable<RdbVisitor['streamConsumer']> = (consumer) => {
    this.consumer = b64(consumer.name)
    this.groups.at(-1)!.consumers.push(this.consumer)
  }
  streamConsumerPending: NonNullable<RdbVisitor['streamConsumerPending']> = (id) => {
    const text = streamIdText(id)
    this.groups.at(-1)!.pending.push([text, this.consumer, this.deliveries.get(text)!])
  }
  aux(name: Slice, value: Slice): void {
    this.auxFields.push([b64(name), b64(value)])
  }
  functionLibrary(code: Slice): void {
    this.functions.push(copy(code).toString())
  }
  notice(code: string): void {
    this.notices.push(code)
  }
}

export interface Collected {
  collector: RowCollector
  summary: RdbSummary
}

/** Parses the chunks and collects everything. */
export function collect(chunks: Iterable<Uint8Array>, options: RdbParserOptions = {}): Collected {
  const collector = new RowCollector()
  const parser = new RdbParser(collector, options)
  for (const chunk of chunks) parser.push(chunk)
  return { collector, summary: parser.end() }
}

const compareB64 = (a: string, b: string): number =>
  Buffer.compare(Buffer.from(a, 'base64'), Buffer.from(b, 'base64'))

function compareIds(a: string, b: string): number {
  const [aMs, aSeq] = a.split('-').map(BigInt) as [bigint, bigint]
  const [bMs, bSeq] = b.split('-').map(BigInt) as [bigint, bigint]
  if (aMs !== bMs) return aMs < bMs ? -1 : 1
  return aSeq === bSeq ? 0 : aSeq < bSeq ? -1 : 1
}

/** Puts rows into the order of the fixtures, and scores into one form. */
export function normalizeRows(rows: readonly Row[]): Row[] {
  return rows
    .map((row) => ({ ...row, value: normalizeValue(row) }))
    .sort((a, b) => a.db - b.db || compareB64(a.key, b.key))
}

function normalizeValue({ type, value }: Row): unknown {
  if (type === 'set') return [...(value as string[])].sort(compareB64)
  if (type === 'hash') {
    return [...(value as [string, string][])].sort((a, b) => compareB64(a[0], b[0]))
  }
  if (type === 'zset') {
    return (value as [string, string | number][])
      .map(([member, score]): [string, number] => [member, toScore(score)])
      .sort((a, b) => a[1] - b[1] || compareB64(a[0], b[0]))
      .map(([member, score]) => [member, String(score)])
  }
  if (type !== 'stream') return value
  const stream = value as { groups: Group[] }
  const groups = stream.groups.map((group) => ({
    ...group,
    ...(group.entriesRead === undefined || group.entriesRead === null
      ? {}
      : { entriesRead: String(group.entriesRead) }),
    pending: [...group.pending].sort((a, b) => compareIds(a[0], b[0])),
    consumers: [...group.consumers].sort(compareB64),
  }))
  return { ...stream, groups: groups.sort((a, b) => compareB64(a.name, b.name)) }
}

function toScore(score: string | number): number {
  const value = score === 'inf' ? Infinity : score === '-inf' ? -Infinity : Number(score)
  return value === 0 ? 0 : value
}

/** The rows of an expected.jsonl, in the same form; without `encoding`. */
export function readExpected(path: string): Row[] {
  const rows = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const row = JSON.parse(line) as Row & { encoding?: string }
      delete row.encoding
      return row
    })
  return normalizeRows(rows)
}
