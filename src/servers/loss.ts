/**
 * What a rewrite cannot carry to its target. Nothing of it happens in silence: every case is
 * counted under one of these names and told to the caller with the key at hand.
 */

export const LOSS = {
  /** A field's own expiry: the field is kept, for good. */
  FIELD_EXPIRY: 'field-expiry',
  /** A function library. */
  FUNCTION: 'function',
  /** A cached script (SCRIPT LOAD). */
  SCRIPT: 'script',
  /** A whole value of a module or of a type that the target lacks. */
  VALUE: 'value',
  /** A whole stream, for targets before 5.0. */
  STREAM: 'stream',
  /** Entries ever added, highest deleted id, entries read: for targets before 7.0. */
  STREAM_COUNTERS: 'stream-counters',
  /** A pending entry whose stream entry is deleted: no command can make one. */
  PENDING_OF_DELETED: 'pending-of-deleted',
  /** A pending entry that no consumer owns (Redis 8.8). */
  PENDING_NACKED: 'pending-nacked',
  /** What a stream remembers of its producers' ids (Redis 8.6). */
  IDEMPOTENCE: 'idempotence',
  /** Metadata that a module keeps beside a key (Redis 8.6). */
  KEY_META: 'key-meta',
  /** Data of a module that belongs to no key. */
  MODULE_AUX: 'module-aux',
  /** A stream with an entry of a length that the target would misread. */
  DISPUTED_LENGTH: 'disputed-length',
  /** A value that was to be scrubbed and cannot be: it is left out. */
  SCRUB: 'scrub',
  /** That slots were being imported (Valkey 9). */
  SLOT_IMPORT: 'slot-import',
} as const
export type Loss = (typeof LOSS)[keyof typeof LOSS]

/** How often each happened; only names that did. */
export type LossCounts = Partial<Record<Loss, number>>
