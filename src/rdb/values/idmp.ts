/** What a stream remembers of its producers' ids (Redis 8.6), where nobody has said otherwise. */
export const IDMP_DEFAULT = { DURATION_SECONDS: 100, MAX_ENTRIES: 100 } as const
