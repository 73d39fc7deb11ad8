/** Which keys a replay takes: the tests of `compileKeyFilter`, as this folder needs them. */

export interface KeySelection {
  /** Nothing is asked: every test passes. */
  readonly passesAll: boolean
  db(dbnum: number): boolean
  name(bytes: Uint8Array, start: number, end: number): boolean
  type(name: string): boolean
  /** Serialised size. */
  size(sizeBytes: number): boolean
  /** @param expireAtMs unix ms, or -1 for none */
  ttl(expireAtMs: number, nowMs: number): boolean
}
