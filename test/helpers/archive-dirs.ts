/** Directories in multi-part form, built byte by byte: what `tail -o` and servers write. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc64Bitwise } from './rdb-bytes.js'

export const REPLID = 'ab'.repeat(20)
export const OTHER_REPLID = 'cd'.repeat(20)
/** 2026-11-22T10:00:00Z */
export const START_SECONDS = 1795341600

/** An RDB of plain strings in db 0, made at a time. */
export function smallRdb(
  keys: Record<string, string>,
  unixSeconds: number,
  aux: Record<string, number> = {},
): Buffer {
  const text = (value: string): Buffer =>
    Buffer.concat([Buffer.from([value.length]), Buffer.from(value)])
  const parts: Buffer[] = [Buffer.from('REDIS0010')]
  const ctime = Buffer.alloc(5)
  ctime[0] = 0xc2
  ctime.writeInt32LE(unixSeconds, 1)
  parts.push(Buffer.from([0xfa]), text('redis-ver'), text('7.0.15'))
  parts.push(Buffer.from([0xfa]), text('ctime'), ctime)
  for (const [name, value] of Object.entries(aux)) {
    parts.push(Buffer.from([0xfa]), text(name), Buffer.from([0xc0, value]))
  }
  if (Object.keys(keys).length > 0) parts.push(Buffer.from([0xfe, 0]))
  for (const [key, value] of Object.entries(keys)) {
    parts.push(Buffer.from([0]), text(key), text(value))
  }
  parts.push(Buffer.from([0xff]))
  const body = Buffer.concat(parts)
  const checksum = Buffer.alloc(8)
  checksum.writeBigUInt64LE(crc64Bitwise(body))
  return Buffer.concat([body, checksum])
}

export function respCommand(...words: string[]): string {
  const args = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`)
  return `*${words.length}\r\n${args.join('')}`
}

/** What a step of an increment is: a command, or a `#TS:` line with the mark beside it. */
export type Step = readonly string[] | { unixSeconds: number }

export interface BuiltIncr {
  bytes: string
  startReplOffset: number
  endReplOffset: number
  /** Offset behind each command, in order. */
  offsets: number[]
}

/** An increment as we write them: mark, SELECT, then the steps. */
export function builtIncr(
  startReplOffset: number,
  steps: readonly Step[],
  replid = REPLID,
): BuiltIncr {
  let replOffset = startReplOffset
  const offsets: number[] = []
  let bytes = `#RREP:@${startReplOffset} 0 ${replid}\r\n${respCommand('SELECT', '0')}`
  for (const step of steps) {
    if ('unixSeconds' in step) {
      bytes += `#TS:${step.unixSeconds}\r\n#RREP:@${replOffset} 0 ${replid}\r\n`
      continue
    }
    const command = respCommand(...step)
    bytes += command
    replOffset += command.length
    offsets.push(replOffset)
  }
  return { bytes, startReplOffset, endReplOffset: replOffset, offsets }
}

export interface ThreeBases {
  /** The directory to name. */
  dir: string
  parts: string
  /** Value of the key `n` at each offset. */
  states: { replOffset: number; n: string; unixSeconds: number }[]
}

/**
 * Three bases in one history, `n` counted up by each command, one command a second; each base
 * holds `n` as it was, and a key `base` that tells which one was loaded.
 */
export function writeThreeBases(
  make: () => string,
  options: { gapBefore?: 3; perBase?: number } = {},
): ThreeBases {
  const { perBase = 4 } = options
  const dir = make()
  const parts = join(dir, 'appendonlydir')
  mkdirSync(parts, { recursive: true })
  const timeline: object[] = []
  const states: ThreeBases['states'] = []
  const manifests: string[] = []
  let replOffset = 1000
  let n = 0
  let unixSeconds = START_SECONDS
  for (let seq = 1; seq <= 3; seq++) {
    const isBehindGap = options.gapBefore === seq
    const replid =
      options.gapBefore !== undefined && seq >= options.gapBefore ? OTHER_REPLID : REPLID
    if (isBehindGap) {
      timeline.push({
        kind: 'gap',
        replid: REPLID,
        fromReplOffset: replOffset + 1,
        toReplid: replid,
        toReplOffset: replOffset + 5000,
        unixMs: (unixSeconds + 10) * 1000,
      })
      replOffset += 5000
      unixSeconds += 100
      n += 1000
    }
    const rdb = smallRdb({ n: String(n), base: String(seq) }, unixSeconds)
    const base = `appendonly.aof.${seq}.base.rdb`
    writeFileSync(join(parts, base), rdb)
    const baseRecord = { kind: 'base', file: base, seq, replid, replOffset, bytes: rdb.length }
    timeline.push({ ...baseRecord, unixMs: unixSeconds * 1000, rdbVersion: 10 })
    states.push({ replOffset, n: String(n), unixSeconds })
    let manifest = `file ${base} seq ${seq} type b\n`
    // Two increments for each base: a rotation lies between them.
    for (const half of [0, 1]) {
      const steps: Step[] = []
      const from = unixSeconds
      for (let i = 0; i < perBase / 2; i++) {
        n += 1
        unixSeconds += 1
        steps.push({ unixSeconds }, ['SET', 'n', String(n)])
        states.push({ replOffset: 0, n: String(n), unixSeconds })
      }
      const incr = builtIncr(replOffset, steps, replid)
      incr.offsets.forEach((each, i) => {
        states[states.length - incr.offsets.length + i]!.replOffset = each
      })
      const file = `appendonly.aof.${2 * seq - 1 + half}.incr.aof`
      writeFileSync(join(parts, file), incr.bytes)
      timeline.push({
        kind: 'incr',
        file,
        seq: 2 * seq - 1 + half,
        replid,
        startReplOffset: replOffset,
        ...(seq === 3 && half === 1 ? {} : { endReplOffset: incr.endReplOffset }),
        unixMs: from * 1000 + 500,
      })
      manifest += `file ${file} seq ${2 * seq - 1 + half} type i\n`
      replOffset = incr.endReplOffset
    }
    manifests.push(manifest)
    unixSeconds += 1
  }
  writeFileSync(join(parts, 'appendonly.aof.manifest'), manifests[2]!)
  writeFileSync(join(parts, 'rrep-before-2.manifest'), manifests[0]!)
  writeFileSync(join(parts, 'rrep-before-3.manifest'), manifests[1]!)
  const sidecar = {
    ...{ format: 1, source: '127.0.0.1:6379', replid: REPLID, timeline, relativeTimes: false },
    ...{ unixSeconds, highestDbnum: 0, dropped: {} },
  }
  writeFileSync(join(parts, 'rrep.json'), JSON.stringify(sidecar))
  return { dir, parts, states }
}

/** Makes directories that go when the test ends. */
export function temporaryDirs(cleanups: (() => unknown)[]): () => string {
  return () => {
    const dir = mkdtempSync(join(tmpdir(), 'rrep-archive-'))
    cleanups.push(() => rmSync(dir, { recursive: true, force: true }))
    return dir
  }
}
