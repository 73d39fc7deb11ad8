/** The kernels of src/kernels/kernel.ts: what this file exports is what the wasm module exports. */
import { crc64Init } from './crc64'
import { formatInit } from './format'
import { jsonInit } from './json'
import { lzfInit } from './lzf'
import { packedInit } from './packed'
import { scoreInit } from './score'
import { textInit } from './text'

export { skippedTo, skipRecords } from './borders'
export { crc64, crc64High } from './crc64'
export {
  digestAdd,
  digestAddCounters,
  digestAddTime,
  digestBegin,
  digestChain,
  digestHalves,
  digestKeep,
  digestKept,
  digestKey,
  digestKeyEnd,
  digestNumber,
  digestPart,
  digestPartsBegin,
  digestPartsEnd,
  digestRecord,
  digestSecret,
  digestString,
  digestSum,
} from './digest'
export {
  digestElements,
  digestIntset,
  digestListpack,
  digestRecords,
  digestScoreAt,
  digestScoreSize,
} from './digest-runs'
export { base64Encode, jsonEscape, jsonReplaced } from './json'
export { jsonIntset, jsonListpack } from './json-packed'
export { lzfCompress, lzfDecompress, lzfLength } from './lzf'
export {
  stringWeights,
  walkedWeight,
  checkIntset,
  checkListpack,
  walkStrings,
  walkedBytes,
  walkedLargest,
  walkedStrings,
  walkedTo,
} from './packed'
export {
  respElements,
  respIntset,
  respListpack,
  scoresAreSimple,
} from './elements'
export {
  runCompressed,
  runInputTo,
  runLargest,
  runOutputTo,
  runStringBytes,
} from './run-end'
export {
  restoreCounts,
  restoreRecords,
  restoreSettings,
  restoreWantsRoom,
} from './restores'
export {
  jsonElements,
  jsonRecordSettings,
  jsonRecords,
  respRecords,
  stretchTimed,
} from './stretches'
export { stretchInexact } from './text'

export {
  countExpired,
  walkRecords,
  walkedKeyHashes,
  walkedKeys,
  walkedRecordCounts,
  walkedRecordsEnd,
} from './records'
export {
  linesEnd,
  lineHead,
  linesOut,
  lineSlots,
  lineTexts,
  writeLines,
} from './string-lines'
export { columnEnds, columnExpiries, columnLengths, stringColumns } from './string-columns'
export { hashedNamesEnd, hashNames, nameHashes, nameHashSecret } from './name-hashes'
export { readStringRows, stringRows, stringRowsEnd } from './rows'

/** To be called once. Returns the first byte of memory that the kernels do not use themselves. */
export function init(): usize {
  crc64Init()
  formatInit()
  jsonInit()
  lzfInit()
  packedInit()
  scoreInit()
  textInit()
  return __heap_base
}
