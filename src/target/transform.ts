/**
 * `--transform FILE.mjs`: a function of the user's that sees each key of a snapshot and each
 * command of a stream, and says what to write in its place.
 *
 *   // upper.mjs: keeps sessions out, and moves users into db 1 under another name
 *   export function transform(item) {
 *     const name = item.key?.toString() ?? ''
 *     if (name.startsWith('session:')) return null
 *     if (item.kind === 'key' && name.startsWith('user:')) {
 *       return { ...item, db: 1, key: Buffer.from(`member:${name.slice(5)}`) }
 *     }
 *     return item
 *   }
 *
 * The function is synchronous. It returns the item (changed or not), an array of items, or null
 * or [] for none. Returning nothing at all is taken for a forgotten `return` and ends the run.
 */
import { Buffer } from 'node:buffer'
import { printable } from '../bytes/printable.js'
import { FileError, UsageError } from '../errors.js'

/** Why the item is not written at which the function threw or gave what cannot be. */
export const TRANSFORM_FAILED = 'the transform failed at it'

/** A key of a snapshot. Its value is not shown: return `'commands'` to get it as commands. */
export interface TransformKey {
  readonly kind: 'key'
  /** Database in the target (after `--map-db`). */
  readonly db: number
  /** Name in the target (after `--rewrite-key`). */
  readonly key: Buffer
  /** As TYPE says it; of a module its type's name. */
  readonly type: string
  /** Unix ms, or null for none. */
  readonly expireAtMs: number | null
}

/** A command of a stream, or one that rebuilds a key for which `'commands'` was asked. */
export interface TransformCommand {
  readonly kind: 'command'
  readonly db: number
  /** The name first. */
  readonly args: readonly Buffer[]
  /** The first key among the arguments, or undefined for commands without one. */
  readonly key: Buffer | undefined
  /** `snapshot`: rebuilds a key. */
  readonly from: 'snapshot' | 'stream'
}

export type TransformItem = TransformKey | TransformCommand
export type TransformResult<Item> = Item | readonly Item[] | null

export type Transform = (
  item: TransformItem,
) => TransformResult<TransformItem> | 'commands' | undefined

/** Takes `transform` (or the default export) out of a module; throws UsageError if it is none. */
export function transformOf(module: unknown, file: string): Transform {
  const found = module as { transform?: unknown; default?: unknown }
  const candidate = found.transform ?? found.default
  if (typeof candidate !== 'function') {
    throw new UsageError(`${file} exports no function of the name transform`, {
      hint: 'write: export function transform(item) { return item }',
    })
  }
  return candidate as Transform
}

/** The keys to write for one key; `'commands'`: hand it over command by command. */
export function transformKey(
  transform: Transform,
  item: TransformKey,
): readonly TransformKey[] | 'commands' {
  const result = callTransform(transform, item, item.key)
  if (result === 'commands') return 'commands'
  const items = asArray(result, 'key')
  for (const each of items) {
    if (each.kind !== 'key' || !Buffer.isBuffer(each.key) || !isDb(each.db)) {
      throw new UsageError('the transform must return keys for a key: { kind, db, key, … }')
    }
    if (each.expireAtMs !== null && !Number.isSafeInteger(each.expireAtMs)) {
      throw new UsageError('expireAtMs of a transformed key is unix milliseconds or null')
    }
  }
  return items as readonly TransformKey[]
}

export function transformCommand(
  transform: Transform,
  item: TransformCommand,
): readonly TransformCommand[] {
  const result = callTransform(transform, item, item.key)
  if (result === 'commands') {
    throw new UsageError("the transform returned 'commands' for what is a command already")
  }
  const items = asArray(result, 'command')
  for (const each of items) {
    if (
      each.kind !== 'command' ||
      !Array.isArray(each.args) ||
      each.args.length === 0 ||
      !each.args.every((arg) => Buffer.isBuffer(arg)) ||
      !isDb(each.db)
    ) {
      throw new UsageError('the transform must return commands: { kind, db, args: [Buffer, …] }')
    }
  }
  return items as readonly TransformCommand[]
}

/** What the user's function throws is told with the key at hand, and where it threw. */
function callTransform(
  transform: Transform,
  item: TransformItem,
  key: Buffer | undefined,
): ReturnType<Transform> {
  try {
    return transform(item)
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    const place = cause instanceof Error ? placeOf(cause.stack ?? '') : ''
    const at = key === undefined ? '' : ` at key ${printable(key, 0, key.length, 200)}`
    throw new FileError(
      'ERR_TRANSFORM',
      `the transform threw${at}: ${printable(Buffer.from(message), 0, undefined, 500)}${place}`,
      { cause },
    )
  }
}

/** `file.mjs:3:9`: where in the user's file, by the first line of the stack that names one. */
function placeOf(stack: string): string {
  const found = /(?:file:\/\/)?([^\s()]+:\d+:\d+)\)?$/m.exec(stack)?.[1]
  return found === undefined ? '' : ` (${found})`
}

function asArray(
  result: TransformResult<TransformItem> | undefined,
  what: string,
): readonly TransformItem[] {
  if (result === undefined) {
    throw new UsageError(`the transform returned nothing for a ${what}`, {
      hint: 'return the item to keep it, null to leave it out',
    })
  }
  if (result === null) return []
  return Array.isArray(result) ? (result as readonly TransformItem[]) : [result as TransformItem]
}

function isDb(db: unknown): boolean {
  return Number.isSafeInteger(db) && (db as number) >= 0
}
