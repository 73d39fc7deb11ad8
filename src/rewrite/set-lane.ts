/**
 * Rows of string records as SET commands, written by the kernel in whose memory they and the output
 * lie. Byte for byte what element-commands.ts makes of them, for keys that keep their name.
 */
import { MAX_STRING_BYTES } from '../kernels/abi.js'
import type { ByteKernel } from '../kernels/kernel.js'
import type { Stretch } from '../rdb/lane/lane.js'
import type { CommandWriter } from './command-writer.js'

/** Room for the longest record that the kernel writes: its key twice, and 16 KB each. */
const LONGEST_BYTES = 3 * MAX_STRING_BYTES + 512

export class SetLane {
  readonly #kernel: ByteKernel
  readonly #setPxat: boolean

  /** @param setPxat whether the target takes an expiry with SET */
  constructor(kernel: ByteKernel, setPxat: boolean) {
    this.#kernel = kernel
    this.#setPxat = setPxat
  }

  /** Returns how many keys were written. */
  records(stretch: Stretch, writer: CommandWriter): number {
    const kernel = this.#kernel
    const setPxat = this.#setPxat
    const { exports } = kernel
    const { out } = writer
    if (stretch.kernel !== kernel || out.bytes.buffer !== kernel.memory.buffer) return 0
    let taken = 0
    stretch.takenTo = stretch.start
    for (;;) {
      out.room(LONGEST_BYTES)
      const { bytes } = out
      if (bytes.buffer !== kernel.memory.buffer) return taken
      const more = exports.respRecords(
        stretch.takenTo,
        stretch.end,
        bytes.byteOffset + out.pos,
        bytes.byteOffset + bytes.length,
        kernel.stagingAddress,
        setPxat ? 1 : 0,
      )
      if (more === 0) return taken
      taken += more
      stretch.takenTo = exports.runInputTo()
      out.pos = exports.runOutputTo() - bytes.byteOffset
      writer.commands += setPxat ? more : more + exports.stretchTimed()
    }
  }
}
