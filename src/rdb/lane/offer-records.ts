/** Stretches of records, offered to the lane as they lie there (lane.ts). */
import type { Core } from '../core.js'
import { OPCODE, TYPE } from '../numbers.js'

/** For fewer bytes a call costs more than it saves. */
const MIN_STRETCH_BYTES = 128

/** Lets the lane take what it can, from a record on. */
export function offerRecords(core: Core): void {
  const { input, stretch, lane } = core
  const { kernel } = input
  if (kernel === undefined || core.options.validate) return
  if (input.end - input.pos < MIN_STRETCH_BYTES) return
  const first = input.buf[input.pos]!
  if (first !== TYPE.STRING && first < OPCODE.IDLE && lane.anyRecords === undefined) return
  const origin = input.buf.byteOffset
  stretch.kernel = kernel
  stretch.start = origin + input.pos
  stretch.end = origin + input.end
  const { dbnum } = core.header
  const taken =
    lane.anyRecords === undefined
      ? lane.stringRecords!(stretch, dbnum)
      : lane.anyRecords(stretch, dbnum)
  if (taken === 0) return
  core.keysRead += taken
  input.pos = stretch.takenTo - origin
  input.commit()
}
