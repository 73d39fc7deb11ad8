/**
 * The byte kernels in WebAssembly (sources in assembly/): CRC64, LZF, JSON escaping, base64.
 *
 * A `ByteKernel` is one instance with its own memory of fixed size, so views of it never detach.
 * Kernels only see their own memory. Whoever moves many bytes takes I/O buffers from it with
 * `allocate`, and CRC64 and LZF then run in place; bytes from anywhere else are copied through a
 * staging area first. Several instances share nothing.
 */
import { Buffer } from 'node:buffer'
import { InternalError } from '../errors.js'
import type { DigestExports } from './digest-exports.js'
import { KERNEL_STATIC_BYTES, KERNEL_WASM_BASE64 } from './kernel.generated.js'

/** What a range that a kernel writes to (`KernelExports.jsonEscape`) must have to spare behind it. */
export const KERNEL_SLACK_BYTES = 16
/** Most records are shorter. */
export const INPUT_HEADROOM_BYTES = 128 * 1024

const PAGE_BYTES = 65536
const STAGING_BYTES = 256 * 1024

/** The functions of the module. Numbers are addresses in its memory, lengths in bytes. */
export interface KernelExports extends DigestExports {
  /** Static area's end; fills the tables. */
  init(): number
  /** Lower half of the CRC64 that low/high becomes over the bytes; the upper: `crc64High()`. */
  crc64(low: number, high: number, address: number, length: number): number
  crc64High(): number
  /** Bytes written, -1: bad data, -2 (without prefix): more than `room` bytes. */
  lzfDecompress(input: number, length: number, output: number, room: number, prefix: number): number
  /** What the tokens add up to, or -1: bad data. */
  lzfLength(input: number, length: number): number
  /** Bytes written, or 0 when they do not fit. */
  lzfCompress(input: number, length: number, output: number, room: number): number
  /** Inside of a JSON string; at most 6 × length, and KERNEL_SLACK_BYTES scratch behind. */
  jsonEscape(input: number, length: number, output: number): number
  /** How many U+FFFD `jsonEscape` has written so far for what is not UTF-8. */
  jsonReplaced(): number
  /**
   * A sound listpack or intset as the inside of a JSON value, each element with a comma behind it:
   * bytes written (at most 6 × length, and KERNEL_SLACK_BYTES scratch behind), or -1: not by these.
   */
  jsonListpack(input: number, length: number, form: number, output: number): number
  jsonIntset(input: number, length: number, output: number): number
  /** How many elements or records were written out: see assembly/stretches.ts, run… for the rest. */
  jsonElements(
    input: number,
    end: number,
    count: number,
    form: number,
    output: number,
    outputEnd: number,
    scratch: number,
  ): number
  jsonRecords(
    input: number,
    end: number,
    output: number,
    outputEnd: number,
    scratch: number,
    base64: number,
  ): number
  respRecords(
    input: number,
    end: number,
    output: number,
    outputEnd: number,
    scratch: number,
    withSet: number,
  ): number
  /** How many elements were written as arguments of a command; see assembly/elements.ts. */
  respElements(
    input: number,
    end: number,
    count: number,
    form: number,
    output: number,
    outputEnd: number,
    fullAt: number,
    scratch: number,
  ): number
  respListpack(
    input: number,
    stop: number,
    count: number,
    form: number,
    output: number,
    fullAt: number,
  ): number
  respIntset(
    input: number,
    end: number,
    count: number,
    width: number,
    output: number,
    fullAt: number,
  ): number
  scoresAreSimple(input: number, stop: number): number
  /** How many records were passed, as commands for a server; see assembly/restores.ts for the rest. */
  restoreRecords(
    input: number,
    end: number,
    output: number,
    outputEnd: number,
    scratch: number,
  ): number
  restoreSettings(): number
  restoreCounts(): number
  restoreWantsRoom(): number
  jsonRecordSettings(): number
  /** Of the last run, whichever kernel took it; see assembly/run-end.ts. */
  runInputTo(): number
  runOutputTo(): number
  runStringBytes(): number
  runLargest(): number
  runCompressed(): number
  stretchTimed(): number
  /** How many strings with U+FFFD in them json… have written so far. */
  stretchInexact(): number
  /** 4 × ceil(length / 3) bytes. */
  base64Encode(input: number, length: number, output: number): number
  /**
   * Entries of a sound listpack, else -1. `wanted`: 1 first entries unique, 2 second ones numbers,
   * 4 also what `walkedLargest` tells.
   */
  checkListpack(input: number, length: number, width: number, wanted: number): number
  /** Members of a sound intset, else -1. */
  checkIntset(input: number, length: number): number
  /** How many elements of `strings` strings and `tail` bytes were passed; see assembly/packed.ts. */
  walkStrings(
    input: number,
    end: number,
    count: number,
    strings: number,
    tail: number,
    weigh: number,
    weights: number,
  ): number
  /** Where the weights by length go, f64 each, that `walkStrings` adds up. */
  stringWeights(): number
  walkedWeight(): number
  /** How many sound records were passed; notes hashes of chosen keys, up to `limit`. */
  walkRecords(input: number, end: number, halvings: number, dbnum: number, limit: number): number
  /** How many records were stepped over by their lengths, and where the next one starts. */
  skipRecords(input: number, end: number): number
  skippedTo(): number
  /** How many string records were taken apart, from the address on; see assembly/rows.ts. */
  readStringRows(input: number, end: number, separator: number): number
  /** Where their columns are. */
  stringRows(): number
  /** Where the record behind them starts. */
  stringRowsEnd(): number
  /** Lines for rows first…last of the last `readStringRows`; see assembly/string-lines.ts. */
  writeLines(first: number, last: number, order: number, headBytes: number): number
  columnEnds(): number
  columnLengths(): number
  columnExpiries(): number
  stringColumns(first: number, last: number, base: number, hasNames: number): number
  /** For rows first…last of the last `readStringRows`; see assembly/name-hashes.ts. */
  hashNames(first: number, last: number, dbnum: number): number
  nameHashSecret(): number
  nameHashes(): number
  hashedNamesEnd(): number
  /** Where those lines are, and where they end. */
  linesOut(): number
  linesEnd(): number
  /** Where the lines' pieces go: u16 slots by shape, texts by slot, the head. */
  lineSlots(): number
  lineTexts(): number
  lineHead(): number
  walkedRecordsEnd(): number
  /** Where the counters of the last `walkRecords` are: RECORD_TYPES u32 by type byte, then as many of
   * those past their time. */
  walkedRecordCounts(): number
  /** Unix ms up to which an expiry counts as past. */
  countExpired(unixMs: number): void
  walkedKeys(): number
  walkedKeyHashes(): number
  walkedBytes(): number
  walkedLargest(): number
  walkedStrings(): number
  walkedTo(): number
}

interface WasmMemory {
  readonly buffer: ArrayBuffer
}

/** The part of the WebAssembly API used here; its types come with the DOM's, which Node lacks. */
interface WasmApi {
  Module: new (bytes: Uint8Array) => object
  Memory: new (limits: { initial: number; maximum: number }) => WasmMemory
  Instance: new (module: object, imports: object) => { readonly exports: unknown }
}

const wasm = (globalThis as unknown as { WebAssembly: WasmApi }).WebAssembly
const owners = new WeakMap<ArrayBufferLike, ByteKernel>()
let compiled: object | undefined
let shared: ByteKernel | undefined

export class ByteKernel {
  readonly exports: KernelExports
  /** All of the memory; index = address. */
  readonly memory: Buffer
  /** Scratch of the kernel's own, valid until the next call of any function of this project. */
  readonly stagingAddress: number
  readonly stagingBytes = STAGING_BYTES
  #next: number
  /** Where buffers with headroom begin. */
  readonly #inputs = new Set<number>()

  /** @param ioBytes how much `allocate` can hand out in all; the headroom of one input is besides */
  constructor(ioBytes = 0) {
    compiled ??= new wasm.Module(Buffer.from(KERNEL_WASM_BASE64, 'base64'))
    // Behind the last range kernels may read and write a little too far.
    const bytes =
      KERNEL_STATIC_BYTES + STAGING_BYTES + INPUT_HEADROOM_BYTES + ioBytes + 4 * KERNEL_SLACK_BYTES
    const pages = Math.ceil(bytes / PAGE_BYTES)
    const memory = new wasm.Memory({ initial: pages, maximum: pages })
    const instance = new wasm.Instance(compiled, { env: { memory } })
    this.exports = instance.exports as KernelExports
    this.memory = Buffer.from(memory.buffer)
    this.stagingAddress = align(this.exports.init())
    this.#next = this.stagingAddress + STAGING_BYTES
    owners.set(memory.buffer, this)
  }

  /** A part of the memory, zeroed, that stays valid for good; there is no way to give it back. */
  allocate(sizeBytes: number): Buffer {
    const start = this.#next
    const end = start + sizeBytes
    if (end + KERNEL_SLACK_BYTES > this.memory.length) {
      throw new InternalError(`kernel memory is too small for ${sizeBytes} bytes more`)
    }
    this.#next = Math.min(align(end), this.memory.length)
    return this.memory.subarray(start, end)
  }

  /**
   * The same for input, with INPUT_HEADROOM_BYTES of its own in front: what is left of one read is
   * put there, and stands before the next as it did in the file.
   */
  allocateInput(sizeBytes: number): Buffer {
    const whole = this.allocate(INPUT_HEADROOM_BYTES + sizeBytes)
    const input = whole.subarray(INPUT_HEADROOM_BYTES)
    this.#inputs.add(input.byteOffset)
    return input
  }

  /** How many bytes in front of these, in the memory of this kernel, may be written to. */
  headroomOf(bytes: Uint8Array): number {
    return this.#inputs.has(bytes.byteOffset) ? INPUT_HEADROOM_BYTES : 0
  }
}

/** The kernel whose memory these bytes are in, if any. */
export function kernelOf(bytes: Uint8Array): ByteKernel | undefined {
  return owners.get(bytes.buffer)
}

/** One for all who have only foreign bytes; made at first use. */
export function sharedKernel(): ByteKernel {
  shared ??= new ByteKernel()
  return shared
}

/** A buffer in the memory of a new kernel: what is read into it is checked without a copy. */
export function allocateIoBuffer(sizeBytes: number): Buffer {
  return new ByteKernel(sizeBytes).allocate(sizeBytes)
}

/** The same for input that a parser reads: see `ByteKernel.allocateInput`. */
export function allocateInputBuffer(sizeBytes: number): Buffer {
  return new ByteKernel(sizeBytes).allocateInput(sizeBytes)
}

/** Memory of its own that begins and ends with pages, as files want it that are not cached. */
export function allocatePages(sizeBytes: number): Buffer {
  const pages = Math.ceil(sizeBytes / PAGE_BYTES)
  return Buffer.from(new wasm.Memory({ initial: pages, maximum: pages }).buffer)
}

function align(address: number): number {
  return (address + 15) & ~15
}
