/** Type bytes of records, as src/rdb/types.ts names them, and the containers of a quicklist's nodes. */

export const STRING: u32 = 0
export const LIST: u32 = 1
export const SET: u32 = 2
export const HASH: u32 = 4
export const ZSET_2: u32 = 5
export const LIST_ZIPLIST: u32 = 10
export const SET_INTSET: u32 = 11
export const ZSET_ZIPLIST: u32 = 12
export const HASH_ZIPLIST: u32 = 13
export const LIST_QUICKLIST: u32 = 14
export const HASH_LISTPACK: u32 = 16
export const ZSET_LISTPACK: u32 = 17
export const LIST_QUICKLIST_2: u32 = 18
export const SET_LISTPACK: u32 = 20

/** A node of a quicklist: a listpack, or one plain element. */
export const CONTAINER_PLAIN: u32 = 1
export const CONTAINER_PACKED: u32 = 2
