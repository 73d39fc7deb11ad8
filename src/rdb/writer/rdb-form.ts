/**
 * What an RDB that is written may hold: the magic it begins with, and the types of value that who
 * loads it knows. Values whose type stays are copied as bytes, the others are written in the plain
 * form of their kind, which every server loads.
 */
import {
  FIRST_VALKEY_RDB,
  accepts,
  acceptedVersions,
  type RdbMagic,
} from '../../servers/rdb-version.js'
import type { TargetCapabilities } from '../../servers/capabilities.js'
import { TYPE, type RdbType } from '../numbers.js'
import { typeTable } from '../type-table.js'
import { KIND } from '../visitor.js'

/** First RDB versions with something. */
export const SINCE = {
  EXPIRY_MS: 3,
  AUX: 7,
  BINARY_SCORES: 8,
  /** Idle times and frequencies. */
  EVICTION: 9,
  MODULE_AUX: 9,
  FUNCTIONS: 10,
  FIELD_TIMES: 12,
  SLOT_INFO: 12,
  KEY_META: 13,
  TEMPLATES: 15,
} as const

export interface RdbForm extends RdbMagic {
  /** The server that it is for, where one was named. */
  readonly target: TargetCapabilities | undefined
}

/** The form of the source, where the target loads that; else the newest that it does. */
export function formFor(source: RdbMagic, target: TargetCapabilities | undefined): RdbForm {
  if (target === undefined) return { ...source, target }
  const accepted = acceptedVersions(target.family, target.version)
  if (accepts(accepted, source)) return { ...source, target }
  return accepted.valkey > 0
    ? { family: 'valkey', version: FIRST_VALKEY_RDB, target }
    : { family: 'redis', version: accepted.redis, target }
}

/** The first bytes of the file. */
export function magicText({ family, version }: RdbMagic): string {
  return family === 'redis'
    ? `REDIS${String(version).padStart(4, '0')}`
    : `VALKEY${String(version).padStart(3, '0')}`
}

/** Is it version `since` of Redis, or of Valkey, which began where Redis was at 11? */
export function hasSince(form: RdbMagic, since: number): boolean {
  return form.family === 'redis' ? form.version >= since : since <= 11
}

/** Whether a value of this type may stand in the file as it is. */
export function holdsType(form: RdbForm, type: RdbType): boolean {
  // Without a target it is for who wrote it.
  if (form.target !== undefined && !type.released) return false
  if (type.family !== 'both' && type.family !== form.family) return false
  if (form.family === 'valkey') return type.since <= (type.family === 'both' ? 11 : form.version)
  return type.since <= form.version
}

/** Whether hashes may have fields with times of expiry. */
export function holdsFieldTimes(form: RdbForm): boolean {
  return form.family === 'valkey' || form.version >= SINCE.FIELD_TIMES
}

/** The type that a value of this type becomes; undefined: there is none. */
export function typeInstead(form: RdbForm, type: RdbType): number | undefined {
  switch (type.kind) {
    case KIND.STRING:
      return TYPE.STRING
    case KIND.LIST:
      return TYPE.LIST
    case KIND.SET:
      return TYPE.SET
    case KIND.ZSET:
      return hasSince(form, SINCE.BINARY_SCORES) ? TYPE.ZSET_2 : TYPE.ZSET
    case KIND.HASH:
      if (!type.fieldTimes || !holdsFieldTimes(form)) return TYPE.HASH
      return form.family === 'valkey' ? TYPE.VALKEY_HASH_2 : TYPE.HASH_METADATA
    case KIND.STREAM:
      return newestStream(form)
    case KIND.MODULE:
    case KIND.ARRAY:
    case KIND.GCRA:
      return undefined
  }
}

function newestStream(form: RdbForm): number | undefined {
  let found: number | undefined
  for (const row of typeTable(form.family)) {
    if (row?.kind === KIND.STREAM && row.released && holdsType(form, row)) found = row.typeByte
  }
  return found
}
