/** Pieces that are looked through, to the last byte of every value. */
import { allocateInputBuffer } from '../../../kernels/kernel.js'
import { KeyNotes } from '../../../rdb/duplicates.js'
import { DEPTH } from '../../../rdb/visitor.js'
import type { WorkerStart } from '../options.js'
import type { PieceMaker } from './maker.js'

export function checkMaker({ readBytes }: WorkerStart): PieceMaker {
  const keys = new KeyNotes()
  const visitor = { key: () => DEPTH.SKIP }
  return {
    input: allocateInputBuffer(readBytes),
    begin: (_send, { halvings = 0 }) => {
      keys.clear()
      keys.halvings = halvings
      return {
        visitor,
        walkBlobs: false,
        validation: { validate: true, checkOnly: true, keys },
        drain: () => undefined,
        finish: () => ({ names: keys.take() }),
      }
    },
    sums: () => undefined,
  }
}
