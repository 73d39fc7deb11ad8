/**
 * Elements of collections as arguments of RPUSH, SADD, ZADD and HSET, written in runs by the kernel
 * in whose memory they and the output lie: byte for byte what element-commands.ts makes of them.
 */
import {
  INTSET_HEAD_BYTES,
  LISTPACK_HEAD_BYTES,
  MAX_LISTPACK_BYTES,
  MAX_STRING_BYTES,
} from '../kernels/abi.js'
import type { ByteKernel } from '../kernels/kernel.js'
import { ELEMENTS, type PackedFormat, type Elements, type Stretch } from '../rdb/lane/lane.js'
import { KIND, type Kind } from '../rdb/visitor.js'
import { BATCH_ARGS, BATCH_BYTES, type CommandWriter } from './command-writer.js'
import type { ElementCommands } from './element-commands.js'

/** The longest element: two strings of 16 KB. A larger packed value is for others. */
const ELEMENT_ROOM_BYTES = 2 * MAX_STRING_BYTES + 512
/** A longer name would not leave a command room for its elements. */
const MAX_KEY_BYTES = 1 << 14
/** What a command can grow to, and once more, so that its buffer need not. */
const ROOM_BYTES = BATCH_BYTES + ELEMENT_ROOM_BYTES

export class ElementLane {
  readonly #kernel: ByteKernel
  readonly #elements: ElementCommands

  constructor(kernel: ByteKernel, elements: ElementCommands) {
    this.#kernel = kernel
    this.#elements = elements
  }

  /** As `RdbLane.elements`. */
  take(stretch: Stretch, what: Elements, count: number, kind: Kind, writer: CommandWriter): number {
    if (!this.#canWrite(stretch, writer)) return 0
    const { exports, stagingAddress } = this.#kernel
    let taken = 0
    stretch.takenTo = stretch.start
    stretch.stringBytes = 0
    stretch.largestBytes = 0
    stretch.compressed = false
    while (taken < count) {
      const isNew = this.#openFor(kind, writer)
      const { out } = writer
      const at = out.bytes.byteOffset
      const done = exports.respElements(
        stretch.takenTo,
        stretch.end,
        Math.min(count - taken, argsLeft(writer, what)),
        what,
        at + out.pos,
        at + out.bytes.length,
        at + out.heldAt + BATCH_BYTES,
        stagingAddress,
      )
      if (done === 0) {
        // No command without an element.
        if (isNew) writer.cancel()
        break
      }
      taken += done
      this.#advance(stretch, writer, done, what)
      stretch.stringBytes += exports.runStringBytes()
      stretch.largestBytes = Math.max(stretch.largestBytes, exports.runLargest())
      if (exports.runCompressed() !== 0) stretch.compressed = true
      if (!writer.isFull) break
    }
    return taken
  }

  /** As `RdbLane.packedValue`. */
  takePacked(stretch: Stretch, format: PackedFormat, kind: Kind, writer: CommandWriter): boolean {
    if (stretch.end - stretch.start > MAX_LISTPACK_BYTES) return false
    if (!this.#canWrite(stretch, writer)) return false
    const { exports, memory } = this.#kernel
    const isIntset = format === 'intset'
    const end = isIntset ? stretch.end : stretch.end - 1
    const width = memory[stretch.start]!
    const what =
      kind === KIND.ZSET ? ELEMENTS.SCORES : kind === KIND.HASH ? ELEMENTS.PAIRS : ELEMENTS.STRINGS
    stretch.takenTo = stretch.start + (isIntset ? INTSET_HEAD_BYTES : LISTPACK_HEAD_BYTES)
    if (what === ELEMENTS.SCORES && exports.scoresAreSimple(stretch.takenTo, end) === 0)
      return false
    while (stretch.takenTo < end) {
      this.#openFor(kind, writer)
      const { out } = writer
      const at = out.bytes.byteOffset
      const left = argsLeft(writer, what)
      const to = at + out.pos
      const fullAt = at + out.heldAt + BATCH_BYTES
      const done = isIntset
        ? exports.respIntset(stretch.takenTo, end, left, width, to, fullAt)
        : exports.respListpack(stretch.takenTo, end, left, what, to, fullAt)
      this.#advance(stretch, writer, done, what)
    }
    return true
  }

  /** Whether the output lies in the kernel's memory, and will while one command is held in it. */
  #canWrite(stretch: Stretch, { out }: CommandWriter): boolean {
    const kernel = this.#kernel
    return (
      stretch.kernel === kernel &&
      this.#elements.keyBytes <= MAX_KEY_BYTES &&
      out.bytes.buffer === kernel.memory.buffer &&
      out.bytes.length >= 2 * ROOM_BYTES
    )
  }

  /** The next element has a command to go into, and room. True: the command has no element yet. */
  #openFor(kind: Kind, writer: CommandWriter): boolean {
    const isNew = this.#elements.openFor(kind)
    writer.out.room(ROOM_BYTES)
    return isNew
  }

  #advance(stretch: Stretch, writer: CommandWriter, elements: number, what: Elements): void {
    const { exports } = this.#kernel
    const { out } = writer
    stretch.takenTo = exports.runInputTo()
    out.pos = exports.runOutputTo() - out.bytes.byteOffset
    writer.openArgs += what === ELEMENTS.STRINGS ? elements : 2 * elements
  }
}

/** So many elements go into the open command until it is full. */
function argsLeft({ openArgs }: CommandWriter, what: Elements): number {
  const args = BATCH_ARGS - openArgs
  return what === ELEMENTS.STRINGS ? args : Math.ceil(args / 2)
}
