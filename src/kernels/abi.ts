/**
 * What both sides of the kernels agree on: how large their areas are, what lies where in them, and
 * the numbers of modes and flags. Two compilers read this file, AssemblyScript for assembly/ and
 * TypeScript for the lanes, so it holds nothing but whole numbers of 31 bits, each written out as
 * both understand it.
 */

/** The longest string that a kernel takes, decoded; a longer one is for the reader in src/rdb. */
export const MAX_STRING_BYTES = 1 << 14

/** What a run of elements consists of: one STR each, two, or STR and f64le. */
export const ELEMENTS_STRINGS = 0
export const ELEMENTS_PAIRS = 1
export const ELEMENTS_SCORES = 2

/** What `checkListpack` looks for besides the structure, and what it tells besides. */
export const CHECK_UNIQUE = 1
export const CHECK_SCORES = 2
export const CHECK_LARGEST = 4

/** Bytes of a listpack in front of its entries: u32 length, u16 count. */
export const LISTPACK_HEAD_BYTES = 6
/** Bytes of an intset in front of its numbers: u32 width, u32 count. */
export const INTSET_HEAD_BYTES = 8
/** A longer listpack may have an entry whose back-length servers disagree on. */
export const MAX_LISTPACK_BYTES = 16382

/** What `walkStrings` adds up; f64 weights by length, so many. */
export const WEIGH_NOTHING = 0
export const WEIGH_STRINGS = 1
export const WEIGH_PAIRS = 2
export const MAX_WEIGHTS = 512

/** Noted keys of `walkRecords`: two hashes and a selector, u32 each; so many a call. */
export const NOTED_BYTES = 12
export const MAX_NOTED = 4096
/** Counters of `walkRecords` by type byte: so many, which is more than it knows types. */
export const RECORD_TYPES = 32

/**
 * A row is a string record taken apart: u32 address of the key, u32 its length, u32 length of the
 * value once decoded, u32 flags and above them how many of its first 16 bytes the key has in common
 * with the one before (bytes behind its end may be counted too), f64 unix ms of the expiry or -1, u32
 * which of the first 32 bytes of the key are separators, u32 shape.
 */
export const ROW_BYTES = 32
export const ROW_KEY = 0
export const ROW_KEY_BYTES = 4
export const ROW_VALUE_BYTES = 8
export const ROW_FLAGS = 12
export const ROW_EXPIRE_AT = 16
export const ROW_SEPARATORS = 24
export const ROW_SHAPE = 28
/** So few that their columns stay in the nearest cache. */
export const MAX_ROWS = 1024

export const ROW_INTEGER = 1
export const ROW_COMPRESSED = 2
export const ROW_EXPIRES = 4
export const ROW_HYPERLOGLOG = 8
export const ROW_COMMON_SHIFT = 8

/** A shape is one number for form (integer, HyperLogLog, other), expiry, and both lengths below
 * 1 << SHAPE_BITS; `SHAPES` or more where a length is larger. */
export const SHAPE_BITS = 7
export const SHAPES = 98304

/** Lines of rows: texts of so many bytes, the last of which is the length; so many; and a head. */
export const LINE_TEXT_BYTES = 64
export const MAX_LINE_TEXTS = 4096
export const MAX_LINE_HEAD_BYTES = 16

/** What a comparison over time keeps of a row: three hashes and where its name begins, u32 each; of
 * the secret of the hashes so many words; names begin at multiples of so many bytes. */
export const HASHED_BYTES = 16
export const HASHED_NAME = 12
export const HASH_SECRET_WORDS = 6
export const NAME_ALIGN = 8

/**
 * Settings of `jsonRecords`: slots, each a u32 length and from SLOT_TEXT on the bytes; then, for keys
 * of 0 … JSON_KEY_LENGTHS - 1 bytes (and more), the longest value that is `embstr`, i32, without and
 * with an expiry. HEADS: of int, int with expiry, embstr, …, raw, ….
 */
export const JSON_SLOT_BYTES = 112
export const JSON_SLOT_TEXT = 16
export const JSON_PREFIX = 0
export const JSON_SUFFIX = 1
export const JSON_VALUE = 2
export const JSON_HEADS = 3
export const JSON_LIMITS = 9
export const JSON_KEY_LENGTHS = 256
/** The longest form of one byte as JSON. */
export const JSON_EXPANSION = 6

/** Type bytes that `restoreRecords` has settings and counts for, and the last one that it takes. */
export const RESTORE_TYPES = 32
export const RESTORE_LAST_TYPE = 20
/** How records of a type go. BY_SET_OR_RESTORE: by RESTORE where idle time or frequency stand with
 * them, which SET cannot bring. */
export const RESTORE_LEAVE = 0
export const RESTORE_BY_RESTORE = 1
export const RESTORE_BY_SET_OR_RESTORE = 2
export const RESTORE_BY_SET = 3
/**
 * Its settings: u8 how by type byte · u16 footer version by type byte · f64 unix ms up to which a key
 * counts as expired · f64 ms added to expiries · u32 flags · u32 longest payload · u32 length of a
 * key that is to be left (0xffffffff: none), and that key.
 */
export const RESTORE_VERSIONS = 32
export const RESTORE_EXPIRED_UP_TO = 96
export const RESTORE_SHIFT = 104
export const RESTORE_FLAGS = 112
export const RESTORE_MOST_BYTES = 116
export const RESTORE_OWN_SIZE = 120
export const RESTORE_OWN_KEY = 128
export const MAX_OWN_KEY_BYTES = 256
/** Flags. The server knows ABSTTL, IDLETIME and FREQ (without, such records are left); it knows SET
 * … PXAT (without, strings with an expiry are left). */
export const RESTORE_REPLACES = 1
export const RESTORE_KNOWS_ABSTTL = 2
export const RESTORE_KNOWS_PXAT = 4

/** Digests: random bytes that all that is compared shares; buckets, so few that their sums stay in a
 * core's cache; a bucket's sums: two u64, f64 keys, f64 bytes of their names. */
export const DIGEST_SECRET_BYTES = 64
export const DIGEST_BUCKETS = 4096
export const SUM_BYTES = 32
export const SUM_FIRST = 0
export const SUM_SECOND = 8
export const SUM_KEYS = 16
export const SUM_NAME_BYTES = 24
/**
 * What is told of a key: u32 db, u32 bytes of its name, u32 kind, u32 whether it has counters, f64
 * expiry or -1, then 64-bit digests: expiries of fields, counters, value (two), name (half of it).
 */
export const DIGEST_RECORD_BYTES = 64
export const DIGEST_DB = 0
export const DIGEST_NAME_BYTES = 4
export const DIGEST_KIND = 8
export const DIGEST_HAS_COUNTERS = 12
export const DIGEST_EXPIRE_AT = 16
export const DIGEST_FIELD_EXPIRY = 24
export const DIGEST_COUNTERS = 32
export const DIGEST_VALUE = 40
export const DIGEST_NAME = 56

/** So much can LZF grow: a claim beyond it is a lie. */
export const LZF_MAX_EXPANSION = 88
/** What `lzfDecompress` and `lzfLength` return for damage, and for more than there is room. */
export const LZF_BAD = -1
export const LZF_TOO_LONG = -2
