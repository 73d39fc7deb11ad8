/** The objects that `key` and `keyEnd` hand out: one of each, written over for every key. */
import { StringSlot } from './io/slice.js'
import { NO_TYPE, type RdbFamily, type RdbType } from './numbers.js'
import { KIND, type KeyHeader, type Kind, type ValueStats } from './visitor.js'

export class MutableKeyHeader implements KeyHeader {
  readonly key = new StringSlot()
  dbnum = 0
  hasExpiry = false
  expireAtMs = -1
  idleSeconds = -1
  freq = -1
  typeByte = 0
  type: RdbType = NO_TYPE
  kind: Kind = KIND.STRING
  family: RdbFamily = 'redis'
  slot = -1
  moduleName = ''
  moduleEncver = -1
  readonly meta = new StringSlot()
  metaClasses = 0
  byteOffset = -1
  valueByteOffset = 0
  index = 0

  /** Attributes belong to one key only. `byteOffset` -1: no record has begun. */
  clearAttributes(): void {
    this.byteOffset = -1
    this.hasExpiry = false
    this.expireAtMs = -1
    this.idleSeconds = -1
    this.freq = -1
    if (this.metaClasses !== 0) {
      this.metaClasses = 0
      this.meta.release()
      this.meta.clear()
    }
    if (this.moduleEncver !== -1) {
      this.moduleName = ''
      this.moduleEncver = -1
    }
  }
}

export class MutableValueStats implements ValueStats {
  serializedBytes = 0
  recordBytes = 0
  elements = 0
  stringBytes = 0
  isInteger = false
  packedBlobs = 0
  packedBytes = 0
  packedEntries = 0
  plainStrings = 0
  plainBytes = 0
  fieldsWithExpiry = 0
  largestElementBytes = 0
  hasDisputedLength = false
  compressed = false
  isHyperLogLog = false
  streamGroups = 0
  streamConsumers = 0
  streamPending = 0

  reset(): void {
    this.serializedBytes = 0
    this.recordBytes = 0
    this.elements = 0
    this.stringBytes = 0
    this.isInteger = false
    this.packedBlobs = 0
    this.packedBytes = 0
    this.packedEntries = 0
    this.plainStrings = 0
    this.plainBytes = 0
    this.fieldsWithExpiry = 0
    this.largestElementBytes = 0
    this.hasDisputedLength = false
    this.compressed = false
    this.isHyperLogLog = false
    this.streamGroups = 0
    this.streamConsumers = 0
    this.streamPending = 0
  }
}
