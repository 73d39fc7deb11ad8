/** The last step of every key: what was counted is told, the next record may come. */
import type { Core, Step } from '../core.js'
import { NEED_MORE } from '../io/chunk-input.js'
import { KIND, NOTICE } from '../visitor.js'

export const endKey: Step = (core) => {
  const { input, header, stats, visitor } = core
  // The last string may have been stepped over before it came.
  if (input.pos > input.end) throw NEED_MORE
  const byteOffset = input.base + input.pos
  if (core.rawFrom >= 0) {
    core.flushRaw()
    core.rawFrom = -1
  }
  stats.serializedBytes = byteOffset - header.valueByteOffset
  stats.recordBytes = byteOffset - header.byteOffset
  stats.compressed = input.sawCompressed
  stats.hasDisputedLength = core.packed.sawDisputedLength
  if (core.damagedBy !== undefined) {
    core.salvage?.loseKey(core, core.damagedBy)
    core.damagedBy = undefined
    core.inValue = false
    header.clearAttributes()
    return core.nextRecord
  }
  if (stats.elements === 0 && header.kind !== KIND.STRING && header.kind <= KIND.HASH) {
    core.notice(
      NOTICE.EMPTY_VALUE,
      `a ${header.type.name} with no elements`,
      header.valueByteOffset,
    )
  }
  tellEnd(core)
  if (!core.options.checkOnly) visitor.keyEnd?.(header, stats)
  core.inValue = false
  core.keysRead += 1
  header.clearAttributes()
  return core.nextRecord
}

/** Scratch memory of a huge element goes back before the next key. */
function tellEnd(core: Core): void {
  core.a.release()
  core.b.release()
  core.blob.release()
}
