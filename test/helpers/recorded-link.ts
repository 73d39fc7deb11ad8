/**
 * A recording of a link (fixtures/README.md, "links/") as a master on a real socket: it answers as
 * the recorded server did, sends its snapshots and its stream byte for byte, and cuts the link
 * where the recording does.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { FIXTURES } from './fixtures.js'
import {
  startScriptedMaster,
  type MasterConnection,
  type ScriptedMaster,
} from './scripted-master.js'

interface RecordedEvent {
  c: number
  from: 'open' | 'replica' | 'master' | 'close'
  data: string
  by?: string
}

interface FullSync {
  /** From `+FULLRESYNC`, or without PSYNC from `$`, to the payload's last byte. */
  head: Buffer
  payload: Buffer
  isEof: boolean
  /** Behind it, for masters without offsets. */
  stream: Buffer
  isCut: boolean
}

export interface RecordedLink {
  name: string
  /** Of the recording's begin, unix ms. */
  startedAtMs: number
  expected: string
  fullSyncs: FullSync[]
  replid: string | undefined
  /** All of the stream, as far as offsets tell. */
  stream: Buffer
  firstReplOffset: number
  /** Where the first link was cut. */
  cutReplOffset: number
  lastReplOffset: number
}

export function readRecordedLink(name: string): RecordedLink & { replies: Map<string, string> } {
  const [head, ...events] = readFileSync(join(FIXTURES, 'links', `${name}.jsonl`), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown) as [{ startedAt: number }, ...RecordedEvent[]]
  const replies = new Map<string, string>()
  const fullSyncs: FullSync[] = []
  const spans: { start: number; bytes: Buffer }[] = []
  let replid: string | undefined
  for (const c of new Set(events.map((event) => event.c))) {
    const own = events.filter((event) => event.c === c)
    const at = own.findIndex(
      ({ from, data }) => from === 'replica' && /PSYNC|SYNC/.test(text(data)),
    )
    noteReplies(replies, at < 0 ? own : own.slice(0, at))
    if (at < 0) continue
    let begin = at
    // PSYNC refused, then SYNC.
    if (text(own[at + 1]?.data).startsWith('-')) begin += 2
    noteReplies(replies, own.slice(at, begin))
    const bytes = Buffer.concat(
      own
        .slice(begin)
        .filter(({ from }) => from === 'master')
        .map(({ data }) => Buffer.from(data, 'base64')),
    )
    const isCut = own.some(({ from, by }) => from === 'close' && by === 'cut')
    const line = bytes.toString('latin1').trimStart().split('\n', 1)[0]!.trim()
    if (line.startsWith('+CONTINUE')) {
      const asked = /\$\d+\r\n(\d+)\r\n$/.exec(text(own[at]?.data))?.[1]
      spans.push({ start: Number(asked), bytes: bytes.subarray(bytes.indexOf('\n') + 1) })
      continue
    }
    const sync = splitFullSync(bytes, isCut)
    fullSyncs.push(sync)
    const history = /^\+FULLRESYNC (\S+) (\d+)/.exec(line)
    if (history === null) continue
    replid = history[1]
    spans.push({ start: Number(history[2]) + 1, bytes: sync.stream })
  }
  const first = spans[0]
  const end = Math.max(0, ...spans.map(({ start, bytes }) => start + bytes.length))
  const stream = Buffer.alloc(first === undefined ? 0 : end - first.start)
  for (const { start, bytes } of spans) bytes.copy(stream, start - first!.start)
  return {
    name,
    startedAtMs: head.startedAt,
    expected: join(FIXTURES, 'links', `${name}.expected.jsonl`),
    fullSyncs,
    replid,
    stream,
    firstReplOffset: first?.start ?? 0,
    cutReplOffset: first === undefined ? 0 : first.start + first.bytes.length - 1,
    lastReplOffset: end - 1,
    replies,
  }
}

export interface PlayOptions {
  /** From the last full sync on: nothing is cut then. */
  fromLastSync?: boolean
  /** Offset and, where it is told, fsynced offset that the replica acknowledges. */
  onAck?: (ack: number, fack: number | undefined) => void
}

export async function playRecordedLink(
  link: RecordedLink & { replies: Map<string, string> },
  options: PlayOptions = {},
): Promise<ScriptedMaster> {
  let syncs = options.fromLastSync === true ? link.fullSyncs.length - 1 : 0
  const held = new Map<MasterConnection, Buffer>()
  const cut = new Set<MasterConnection>()
  return await startScriptedMaster({
    reply: (args) => {
      const name = args[0]!.toUpperCase()
      if (name === 'PSYNC' && link.replid !== undefined) return undefined
      if (name === 'SYNC') return undefined
      const known = link.replies.get(replyKey(args))
      if (known !== undefined) return known.replace(/\r\n$/, '')
      if (name === 'INFO') return link.replies.get('INFO')?.replace(/\r\n$/, '')
      return name === 'REPLCONF' ? '+OK' : `-ERR unknown command '${name}'`
    },
    onAck: (connection, [, , ack, , fack]) => {
      options.onAck?.(Number(ack), fack === undefined ? undefined : Number(fack))
      const stream = held.get(connection)
      if (stream === undefined) return
      held.delete(connection)
      connection.send(stream)
      if (cut.has(connection)) connection.close()
    },
    onPsync: (connection, args) => {
      if (args[1]?.toLowerCase() === link.replid && link.replid !== undefined) {
        connection.send(`+CONTINUE${link.replies.has('PSYNC2') ? ` ${link.replid}` : ''}\r\n`)
        connection.send(link.stream.subarray(Number(args[2]) - link.firstReplOffset))
        return
      }
      const sync = link.fullSyncs[Math.min(syncs, link.fullSyncs.length - 1)]!
      syncs += 1
      connection.send(Buffer.concat([sync.head, sync.payload]))
      // A second comer to a history has all of it: nothing is cut twice.
      const isFirst = syncs === 1
      const rest = link.replid === undefined || isFirst ? sync.stream : link.stream
      if (sync.isCut && isFirst) cut.add(connection)
      if (link.replid !== undefined) {
        held.set(connection, rest)
        return
      }
      connection.send(rest)
      if (sync.isCut && isFirst) connection.close()
    },
  })
}

function noteReplies(replies: Map<string, string>, events: readonly RecordedEvent[]): void {
  for (const [i, { from, data }] of events.entries()) {
    const answer = events.slice(i + 1).find((each) => each.from === 'master')
    if (from !== 'replica' || answer === undefined) continue
    const args = text(data)
      .split('\r\n')
      .filter((part, at) => at > 0 && !/^\$\d+$/.test(part) && part !== '')
    if (args.length > 0) replies.set(replyKey(args), text(answer.data))
  }
}

/** A command's name, with its option where it has one. */
function replyKey(args: readonly string[]): string {
  const name = args[0]!.toUpperCase()
  return name === 'REPLCONF' || name === 'INFO' ? args.slice(0, 2).join(' ') : name
}

function splitFullSync(bytes: Buffer, isCut: boolean): FullSync {
  let at = 0
  for (;;) {
    const end = bytes.indexOf('\n', at) + 1
    const line = bytes.toString('latin1', at, end).trim()
    at = end
    if (!line.startsWith('$')) continue
    const head = bytes.subarray(0, at)
    const mark = /^\$EOF:(\w{40})$/.exec(line)?.[1]
    const end2 = mark === undefined ? at + Number(line.slice(1)) : bytes.indexOf(mark, at) + 40
    const payload = bytes.subarray(at, end2)
    return { head, payload, isEof: mark !== undefined, stream: bytes.subarray(end2), isCut }
  }
}

function text(data = ''): string {
  return Buffer.from(data, 'base64').toString('latin1')
}
