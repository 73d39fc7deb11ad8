/**
 * Feeds the parser a million damaged files: records of real servers with bytes flipped, lengths
 * made huge, ranges cut, doubled, moved, spliced. Each must be read or refused with an RdbError:
 * no other error, not more than a second a megabyte, not more than 64 MB of memory beyond the
 * input.
 *
 *   npm run soak -- rdb-fuzz            RREP_FUZZ_INPUTS=5000000 RREP_FUZZ_SEED=7 for longer, other
 *
 * An input that fails is written to the working directory and named with its seed.
 */
import type { WithLane } from '../../src/rdb/lane/lane.js'
import { writeFileSync } from 'node:fs'
import { getHeapStatistics } from 'node:v8'
import { KeyAnalysis } from '../../src/analyze/key-analysis.js'
import { allocateInputBuffer, allocateIoBuffer } from '../../src/kernels/kernel.js'
import { RdbError } from '../../src/errors.js'
import { RdbParser } from '../../src/rdb/parser.js'
import { DEPTH, type Depth, type RdbVisitor, type Slice } from '../../src/rdb/visitor.js'
import { cutRandomly, seededRandom } from '../helpers/pieces.js'
import { rdbSeeds } from '../helpers/rdb-seeds.js'

const INPUTS = Number(process.env['RREP_FUZZ_INPUTS'] ?? 1_000_000)
const SEED = Number(process.env['RREP_FUZZ_SEED'] ?? 1)
const MAX_MEMORY_BYTES = 64 << 20
/** A pause of the garbage collector is no hang. */
const MIN_LIMIT_MS = 1000

const IO_BYTES = 1 << 16
const buffers = [allocateIoBuffer(IO_BYTES), allocateInputBuffer(IO_BYTES)] as const

/** Lengths and values that sit at the edges of the encodings. */
const NASTY = [
  [0x00],
  [0x3f],
  [0x40, 0x00],
  [0x7f, 0xff],
  [0x80, 0xff, 0xff, 0xff, 0xff],
  [0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0x81, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0xc3, 0x05, 0x81, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00],
  [0xc0, 0x80],
  [0xff],
  [0xfe, 0xff, 0xff, 0xff, 0xff],
  [0xf0, 0xff, 0xff, 0xff, 0x7f],
  [0xf4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
]

type Random = () => number

export function run(): Promise<void> {
  const seeds = rdbSeeds()
  console.log(`${seeds.length} seeds, ${INPUTS} inputs, seed ${SEED}`)
  const random = seededRandom(SEED)
  const results: Record<string, number> = {}
  const touch = touchingVisitor(random)
  let slowestMs = 0
  let mostBytes = 0
  const started = performance.now()
  for (let input = 0; input < INPUTS; input += 1) {
    const seed = seeds[pick(random, seeds.length)]!
    const bytes = mutate(seed.bytes, random, () => seeds[pick(random, seeds.length)]!.bytes)
    const usedBefore = usedBytes()
    const before = cpuMs()
    const result = parse(bytes, random, touch)
    const tookMs = cpuMs() - before
    if (!result.startsWith('ERR_RDB_') && result !== 'read') {
      fail(bytes, `input ${input} from ${seed.name}: ${result}`)
    }
    if (tookMs > slowestMs) slowestMs = tookMs
    if (tookMs > Math.max(MIN_LIMIT_MS, bytes.length / 1000)) {
      fail(bytes, `input ${input} from ${seed.name} took ${tookMs} ms`)
    }
    results[result] = (results[result] ?? 0) + 1
    // Nothing is collected in so short a time but by chance: what was taken is still counted.
    const takenBytes = usedBytes() - usedBefore - bytes.length
    if (takenBytes > mostBytes) mostBytes = takenBytes
    if (takenBytes > MAX_MEMORY_BYTES) {
      fail(bytes, `input ${input} from ${seed.name} took ${takenBytes} bytes of memory`)
    }
    if (input % 100_000 === 99_999) console.log(`${input + 1} inputs`, results)
  }
  console.log(
    `${INPUTS} inputs in ${((performance.now() - started) / 1000).toFixed(0)} s; slowest ` +
      `${slowestMs.toFixed(1)} ms; most memory taken by one ${(mostBytes / 1e6).toFixed(1)} MB; ` +
      `process at the end ${(process.memoryUsage.rss() / 1e6).toFixed(0)} MB`,
  )
  return Promise.resolve()
}

/** Of this process: what others do on the machine is no hang. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** On the heap and outside of it. */
function usedBytes(): number {
  const { used_heap_size: heap, external_memory: external } = getHeapStatistics()
  return heap + external
}

function parse(bytes: Buffer, random: Random, visitor: RdbVisitor & WithLane): string {
  // What `inspect` counts with, which takes rows of strings from the kernel.
  const consumer =
    random() < 0.3 ? new KeyAnalysis({ nowMs: 0, top: 3, prefixes: { depth: 2 } }) : visitor
  const parser = new RdbParser(consumer, {
    lane: consumer.lane,
    checkOnly: consumer === visitor && random() < 0.2,
    validate: random() < 0.3,
    strict: random() < 0.5,
    checksum: random() < 0.5 ? 'ignore' : 'report',
    wholeStringBytes: random() < 0.2 ? 10 : 1 << 20,
    salvage: random() < 0.3,
  })
  try {
    if (random() < 0.5) {
      // In the kernel's memory, where kernels look at the bytes themselves.
      const io = buffers[pick(random, 2)]!
      const step = random() < 0.5 ? IO_BYTES : 1 + pick(random, IO_BYTES)
      for (let at = 0; at < bytes.length; at += step) {
        parser.push(io.subarray(0, bytes.copy(io, 0, at, at + step)))
      }
    } else if (random() < 0.3) {
      for (const piece of cutRandomly(bytes, pick(random, 1 << 30))) parser.push(piece)
    } else {
      parser.push(bytes)
    }
    parser.end()
    return 'read'
  } catch (error) {
    if (error instanceof RdbError) return error.code
    return error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
}

/** Looks at the first and last byte of everything it is told. */
function touchingVisitor(random: Random): RdbVisitor {
  let sum = 0
  const touch = ({ bytes, start, end }: Slice): void => {
    if (start < 0 || end < start || end > bytes.length) throw new Error('a slice out of bounds')
    if (start < end) sum = (sum + bytes[start]! + bytes[end - 1]!) & 0xffff
  }
  const two = (a: Slice, b: Slice): void => {
    touch(a)
    touch(b)
  }
  const depths: Depth[] = [DEPTH.ELEMENTS, DEPTH.ELEMENTS, DEPTH.SKIP, DEPTH.RAW]
  return {
    aux: two,
    functionLibrary: touch,
    hashTemplateField: touch,
    slotImport: touch,
    key: (header) => {
      touch(header.key)
      touch(header.meta)
      return depths[pick(random, depths.length)]!
    },
    keyEnd: (header) => touch(header.key),
    rawValue: (bytes, start, end) => touch({ bytes, start, end }),
    stringValue: touch,
    stringPart: touch,
    listElement: touch,
    setMember: touch,
    zsetMember: (member, score, text) => {
      two(member, text)
      if (Number.isNaN(score)) throw new Error('a score is NaN')
    },
    hashField: two,
    streamField: two,
    streamGroup: (group) => touch(group.name),
    streamConsumer: (consumer) => touch(consumer.name),
    streamProducer: touch,
    streamProducerId: touch,
    moduleString: touch,
    arrayElement: (_index, value) => touch(value),
  }
}

function mutate(seed: Buffer, random: Random, another: () => Buffer): Buffer {
  let bytes: Buffer = Buffer.from(seed)
  for (let left = 1 + pick(random, 4); left > 0; left -= 1) {
    bytes = mutateOnce(bytes, random, another)
  }
  return bytes
}

function mutateOnce(bytes: Buffer, random: Random, another: () => Buffer): Buffer {
  if (bytes.length < 2) return Buffer.from([pick(random, 256), 0, 0])
  // The magic is not worth many inputs.
  const first = random() < 0.02 ? 0 : Math.min(9, bytes.length - 1)
  const at = first + pick(random, bytes.length - first)
  const length = 1 + pick(random, Math.min(64, bytes.length - at))
  switch (pick(random, 9)) {
    case 0:
      bytes[at] = bytes[at]! ^ (1 << pick(random, 8))
      return bytes
    case 1:
      bytes[at] = pick(random, 256)
      return bytes
    case 2:
      bytes[at] = (bytes[at]! + (random() < 0.5 ? 1 : 255)) & 255
      return bytes
    case 3:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)])
    case 4:
      return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)])
    case 5: {
      const nasty = Buffer.from(NASTY[pick(random, NASTY.length)]!)
      const replaces = random() < 0.5 ? nasty.length : 0
      return Buffer.concat([bytes.subarray(0, at), nasty, bytes.subarray(at + replaces)])
    }
    case 6:
      return bytes.subarray(0, at)
    case 7: {
      const other = another()
      const from = pick(random, other.length)
      return Buffer.concat([bytes.subarray(0, at), other.subarray(from)])
    }
    default:
      for (let index = at; index < at + length; index += 1) bytes[index] = pick(random, 256)
      return bytes
  }
}

function pick(random: Random, below: number): number {
  return Math.floor(random() * below)
}

function fail(bytes: Buffer, message: string): never {
  const file = `rdb-fuzz-${SEED}-failed.rdb`
  writeFileSync(file, bytes)
  throw new Error(`${message}\n(the input is in ${file})`)
}
