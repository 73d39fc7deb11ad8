/** A lane that counts what it takes, so that a test sees that it took something. */
import type { RdbLane } from '../../src/rdb/lane/lane.js'

export interface Taken {
  records: number
  elements: number
  packed: number
}

export function countingLane(lane: RdbLane, taken: Taken): RdbLane {
  const { stringRecords, elements, packedValue } = lane
  return {
    ...lane,
    stringRecords:
      stringRecords &&
      ((...args) => {
        const count = stringRecords(...args)
        taken.records += count
        return count
      }),
    elements:
      elements &&
      ((...args) => {
        const count = elements(...args)
        taken.elements += count
        return count
      }),
    packedValue:
      packedValue &&
      ((...args) => {
        const isTaken = packedValue(...args)
        if (isTaken) taken.packed += 1
        return isTaken
      }),
  }
}
