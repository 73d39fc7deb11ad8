/** Records that are copied as they lie there, thousands at once: all of them, or the strings that are wanted. */
import { MAX_NOTED, RECORD_TYPES } from '../../kernels/abi.js'
import type { RdbLane } from '../../rdb/lane/lane.js'
import type { RdbOutput } from '../../rdb/writer/rdb-output.js'
import type { KeyFormatRun } from '../key-format.js'
import { StringRecords } from './string-records.js'

/** All of them are wanted. */
export function copyOfRecords({ loader }: KeyFormatRun, output: RdbOutput): RdbLane {
  const { tally, databases = Infinity } = loader ?? {}
  return {
    anyRecords: (stretch, dbnum) => {
      const { kernel, start, end } = stretch
      const { exports, memory } = kernel
      if (dbnum >= databases) return 0
      if (tally !== undefined) exports.countExpired(tally.nowMs)
      // 31 halvings: of keys that are not compared next to none are noted.
      const passed = exports.walkRecords(start, end, 31, dbnum, MAX_NOTED)
      if (passed === 0) return 0
      stretch.takenTo = exports.walkedRecordsEnd()
      output.select(dbnum)
      output.to.out.write(memory, start, stretch.takenTo)
      output.keys += passed
      tally?.records(
        dbnum,
        new Uint32Array(memory.buffer, exports.walkedRecordCounts(), 2 * RECORD_TYPES),
      )
      return passed
    },
  }
}

/** Those of a row of strings that are wanted. */
export function copyOfStrings(
  { loader }: KeyFormatRun,
  output: RdbOutput,
  wanted: NonNullable<KeyFormatRun['wantedString']>,
): RdbLane {
  const { databases = Infinity } = loader ?? {}
  const strings = new StringRecords(wanted)
  return {
    stringRecords: (stretch, dbnum) => {
      if (dbnum >= databases) return 0
      const passed = strings.copy(stretch, dbnum, output)
      output.keys += strings.copied
      return passed
    },
  }
}
