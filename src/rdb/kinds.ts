/** The kinds of values: what TYPE answers. A type byte says the kind and how it is encoded. */

/** What kind of value a type byte means; the `TYPE` of the servers, and how events come. */
export const KIND = {
  STRING: 0,
  LIST: 1,
  SET: 2,
  ZSET: 3,
  HASH: 4,
  STREAM: 5,
  MODULE: 6,
  /** Redis 8.8. */
  ARRAY: 7,
  /** Unreleased Redis builds: one number. */
  GCRA: 8,
} as const
export type Kind = (typeof KIND)[keyof typeof KIND]

/** Names as TYPE prints them, by `Kind`; for modules see `typeNameOf`. */
export const KIND_NAMES: readonly string[] = [
  'string',
  'list',
  'set',
  'zset',
  'hash',
  'stream',
  'module',
  'array',
  'gcra',
]

/** As TYPE names it; of a module its own name. */
export function typeNameOf(header: { readonly kind: Kind; readonly moduleName: string }): string {
  return header.kind === KIND.MODULE ? header.moduleName : KIND_NAMES[header.kind]!
}
