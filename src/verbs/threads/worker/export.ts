/** Keys in the form of an export, of one piece after the other. */
import { Buffer } from 'node:buffer'
import { compileKeyFilter } from '../../../source/key-filter.js'
import { ExportRun } from '../../export/export-run.js'
import type { ExportJob, WorkerStart } from '../options.js'
import type { PieceMaker } from './maker.js'

export function exportMaker(
  { head, timeShiftMs, readBytes }: WorkerStart,
  { format, strings, filter, target, nowMs }: ExportJob,
): PieceMaker {
  let send: (bytes: Uint8Array) => void = () => undefined
  const memory = ExportRun.memory(1, readBytes)
  const options = { format, strings, filter, target }
  const compiled = compileKeyFilter(filter)
  return {
    input: memory.input,
    begin: (to) => {
      send = to
      const run = new ExportRun(options, {
        filter: compiled,
        head: Buffer.from(head),
        timeShiftMs,
        sinks: [(bytes) => send(bytes)],
        memory,
        nowMs,
        isPiece: true,
      })
      return {
        visitor: run.visitor,
        walkBlobs: run.format.walkBlobs ?? false,
        drain: () => run.drain(),
        finish: () => {
          run.finish()
          return { tally: run.tally() }
        },
      }
    },
    sums: () => undefined,
  }
}
