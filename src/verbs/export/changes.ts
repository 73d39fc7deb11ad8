/**
 * What becomes of keys on their way into another dump: where they go and under which name
 * (`--map-db`, `--rewrite-key`, `--transform`, `--scrub`), and which of two with one name is kept.
 */
import { Buffer } from 'node:buffer'
import { printable } from '../../bytes/printable.js'
import { TargetError, UsageError } from '../../errors.js'
import type { KeyPlace } from '../../formats/key-format.js'
import { KeyNames } from '../../rdb/key-names.js'
import { typeNameOf, type KeyHeader, type Slice } from '../../rdb/visitor.js'
import { compileKeyMapping, type KeyMapping } from '../../target/key-mapping.js'
import { Scrubber } from '../../target/scrub/scrubber.js'
import { transformKey, type Transform } from '../../target/transform.js'
import type { ExportOptions } from './options.js'

const MAX_KEY_CHARS = 200

export class KeyChanges {
  /** Left out: by the transform, and since one of that name was there. */
  dropped = 0
  conflicts = 0
  /** Into another db, or under another name. */
  readonly areMoved: boolean
  readonly scrubber: Scrubber | undefined
  readonly #mapping: KeyMapping
  readonly #transform: Transform | undefined
  readonly #onConflict: 'fail' | 'first'
  readonly #names = new KeyNames()

  /** Undefined: keys stay as they are. */
  static of(options: ExportOptions, sources: number): KeyChanges | undefined {
    const mapping = compileKeyMapping(options)
    const { transform, scrub } = options
    const areMoved = mapping.isActive || transform !== undefined || scrub !== undefined
    if (!areMoved && sources === 1) return undefined
    return new KeyChanges(mapping, areMoved, options)
  }

  private constructor(
    mapping: KeyMapping,
    areMoved: boolean,
    { transform, scrub, onConflict }: ExportOptions,
  ) {
    this.areMoved = areMoved
    this.scrubber = scrub && new Scrubber(scrub)
    this.#mapping = mapping
    this.#transform = transform
    // Of several sources the last is read first.
    this.#onConflict = onConflict === 'last' || onConflict === 'first' ? 'first' : 'fail'
  }

  /** Says where the key goes; false: nowhere. */
  place(header: KeyHeader, place: KeyPlace): boolean {
    const mapping = this.#mapping
    place.dbnum = mapping.db(header.dbnum)
    if (mapping.renames) {
      const name = mapping.key(header.key.bytes, header.key.start, header.key.end)
      // What still lies in the input stays there: the header follows where it moves.
      if (name.buffer !== header.key.bytes.buffer) place.key = whole(name)
    }
    if (this.#transform !== undefined && !this.#transformed(this.#transform, header, place)) {
      this.dropped += 1
      return false
    }
    if (this.scrubber !== undefined) place.key = this.scrubber.name(header.key, place.key)
    return this.#isFirst(place.dbnum, place.key)
  }

  /** Of a key that stays where it is: false for one that was there before. */
  isFirst({ dbnum, key }: KeyHeader): boolean {
    return this.#isFirst(dbnum, key)
  }

  #isFirst(dbnum: number, { bytes, start, end }: Slice): boolean {
    if (!this.#names.add(dbnum, bytes, start, end)) return true
    if (this.#onConflict === 'fail') {
      const name = printable(bytes, start, end, MAX_KEY_CHARS)
      throw new TargetError('ERR_TARGET_CONFLICT', `key ${name} of db ${dbnum} comes twice`, {
        hint: 'say which is kept: onConflict first or last',
        details: { key: name },
      })
    }
    this.conflicts += 1
    return false
  }

  #transformed(transform: Transform, header: KeyHeader, place: KeyPlace): boolean {
    const { bytes, start, end } = place.key
    const items = transformKey(transform, {
      kind: 'key',
      db: place.dbnum,
      key: Buffer.from(bytes.subarray(start, end)),
      type: typeNameOf(header),
      expireAtMs: place.expireAtMs ?? null,
    })
    if (items === 'commands' || items.length > 1) {
      throw new UsageError('into a dump a key goes as it is, once: no commands, no copies of it', {
        hint: 'return the item or null; for more, replay() into a server and sync() that',
      })
    }
    const [only] = items
    if (only === undefined) return false
    place.dbnum = only.db
    place.key = whole(only.key)
    place.expireAtMs = only.expireAtMs ?? undefined
    return true
  }
}

function whole(bytes: Buffer): { bytes: Buffer; start: number; end: number } {
  return { bytes, start: 0, end: bytes.length }
}
