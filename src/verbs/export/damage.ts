/**
 * What of a damaged dump is lost, found before anything is written of it: a key whose damage shows
 * in its midst would else leave half a line, or half a value, behind.
 */
import { InputError, RdbError } from '../../errors.js'
import { RdbParser } from '../../rdb/parser.js'
import { DEPTH, type LostRegion } from '../../rdb/visitor.js'
import { pumpRdb } from '../../source/rdb-input.js'
import type { OpenKeys } from '../keys/open.js'

export interface Damage {
  /** Where the records of damaged keys begin. */
  readonly keysFrom: ReadonlySet<number>
  /** The first of them. */
  readonly lost: readonly LostRegion[]
  readonly lostRegions: number
  readonly lostBytes: number
  readonly error: InputError | undefined
}

const MAX_LOST = 1000

/** Reads everything once. Throws what is no damage, and what is no RDB. */
export async function findDamage(keys: OpenKeys, signal: AbortSignal | undefined): Promise<Damage> {
  const keysFrom = new Set<number>()
  const lost: LostRegion[] = []
  let lostRegions = 0
  let lostBytes = 0
  const parser = new RdbParser(
    {
      key: () => DEPTH.SKIP,
      lost: (region) => {
        keysFrom.add(region.fromByte)
        lostRegions += 1
        lostBytes += region.toByte - region.fromByte
        if (lost.length < MAX_LOST) lost.push(region)
      },
    },
    { file: keys.name, salvage: true },
  )
  const { summary } = await pumpRdb(keys.rdb, parser, { signal })
  const [first] = lost
  let error = first?.error instanceof InputError ? first.error : undefined
  if (error === undefined && summary.checksum === 'bad') {
    error = new RdbError(
      'ERR_RDB_CORRUPT',
      { file: keys.name, byteOffset: summary.rdbBytes - 8, reading: 'checksum' },
      'the checksum does not match: some byte before it is not what the server wrote',
    )
  }
  return { keysFrom, lost, lostRegions, lostBytes, error }
}
