/**
 * What is known of commands: do they write, may a master send them on, and which arguments are keys.
 *
 * The static table covers every command of Redis up to 8.6 and Valkey up to 9.1, as their own
 * COMMAND tells (a test compares them). `learn` adds what a server at hand tells of others, such
 * as modules' commands. Names are found by their bytes, without regard to case and without
 * making a string.
 */
import type { CommandDecoder } from './decoder.js'

/** How the keys of a command are found among its arguments (argument 0 is the name). */
export type KeyFinder =
  | { kind: 'none' }
  /** Arguments first, first+step, … last; a negative last counts from the end (-1: the last). */
  | { kind: 'range'; first: number; last: number; step: number }
  /** Argument `at` holds the number of keys, which follow it; `step` 2 where values stand between. */
  | { kind: 'numkeys'; at: number; step: number }
  /** Argument 1, then a number of keys in argument 2 and the keys (ZUNIONSTORE). */
  | { kind: 'store-numkeys' }
  /** Argument 1 and what follows STORE or STOREDIST (GEORADIUS). */
  | { kind: 'geo' }
  /** Argument 1 and what follows STORE (SORT). */
  | { kind: 'sort' }
  /** Argument 3, or if that is empty all behind KEYS. */
  | { kind: 'migrate' }
  /** The first half of what follows STREAMS. */
  | { kind: 'streams' }

export interface CommandInfo {
  /** Upper case. */
  name: string
  /** Numbers the entries of a table from 0: for counters in arrays. */
  index: number
  /** It writes, or may (EVAL, PFCOUNT). */
  isWrite: boolean
  /**
   * A master sends it to its replicas as a change of data, so that whoever replays a stream may
   * execute it. Not so what administers a server or a connection, and what nobody knows.
   */
  isPropagated: boolean
  keys: KeyFinder
}

const NONE: KeyFinder = { kind: 'none' }
/** New names are added up to this many entries and bytes: a stream is not to fill the memory. */
const MAX_ENTRIES = 4096
const MAX_NAME_BYTES = 64

/** Rows: write or read, where the keys are, the names. `1 -1 2` is first, last, step. */
const TABLE: readonly (readonly ['write' | 'read', string, string])[] = [
  [
    'read',
    '-',
    `acl asking auth bgrewriteaof bgsave client cluster command commandlog config dbsize debug
    discard echo exec failover hello hotkeys info keys lastsave latency lolwut module monitor
    multi pfselftest ping psubscribe psync pubsub punsubscribe quit randomkey readonly readwrite
    replconf replicaof reset role save scan select shutdown slaveof slowlog ssubscribe subscribe
    sunsubscribe sync syncslots time unsubscribe unwatch wait waitaof`,
  ],
  ['read', '1 -1 1', 'exists mget sdiff sinter sunion touch watch'],
  [
    'read',
    '1 1 1',
    `vcard vdim vemb vgetattr vinfo vismember vlinks vrandmember vrange vsim bitcount bitfield_ro
    bitpos clusterscan digest dump expiretime geodist geohash geopos georadius_ro
    georadiusbymember_ro geosearch get getbit getrange hexists hexpiretime hget hgetall hkeys hlen
    hmget hpexpiretime hpttl hrandfield hscan hstrlen httl hvals lindex llen lpos lrange
    pexpiretime pttl scard sismember smembers smismember srandmember sscan strlen substr ttl type
    xlen xpending xrange xrevrange zcard zcount zlexcount zmscore zrandmember zrange zrangebylex
    zrangebyscore zrank zrevrange zrevrangebylex zrevrangebyscore zrevrank zscan zscore`,
  ],
  ['read', '1 2 1', 'lcs'],
  ['read', '2 2 1', 'memory object xinfo'],
  ['read', 'numkeys 1', 'sintercard zdiff zinter zintercard zunion'],
  ['read', 'numkeys 2', 'eval_ro evalsha_ro fcall_ro'],
  ['read', 'sort', 'sort_ro'],
  ['read', 'streams', 'xread'],
  ['write', '-', 'flushall flushdb function publish script spublish swapdb trimslots'],
  ['write', '1 -1 1', 'del pfcount pfmerge sdiffstore sinterstore sunionstore unlink'],
  ['write', '1 -1 2', 'mset msetnx'],
  ['write', '1 -2 1', 'blpop brpop bzpopmax bzpopmin'],
  [
    'write',
    '1 1 1',
    `vadd vrem vsetattr append bitfield decr decrby delex delifeq expire expireat geoadd getdel
    getex getset hdel hexpire hexpireat hgetdel hgetex hincrby hincrbyfloat hmset hpersist
    hpexpire hpexpireat hset hsetex hsetnx incr incrby incrbyfloat linsert lpop lpush lpushx lrem
    lset ltrim move persist pexpire pexpireat pfadd psetex restore restore-asking rpop rpush
    rpushx sadd set setbit setex setnx setrange spop srem xack xackdel xadd xautoclaim xcfgset
    xclaim xdel xdelex xidmprecord xsetid xtrim zadd zincrby zpopmax zpopmin zrem zremrangebylex
    zremrangebyrank zremrangebyscore`,
  ],
  [
    'write',
    '1 2 1',
    `blmove brpoplpush copy geosearchstore lmove rename renamenx rpoplpush smove zrangestore`,
  ],
  ['write', '2 -1 1', 'bitop'],
  ['write', '2 2 1', 'pfdebug xgroup'],
  ['write', 'geo', 'georadius georadiusbymember'],
  ['write', 'migrate', 'migrate'],
  ['write', 'numkeys 1', 'lmpop zmpop'],
  ['write', 'numkeys 1 2', 'msetex'],
  ['write', 'numkeys 2', 'blmpop bzmpop eval evalsha fcall'],
  ['write', 'sort', 'sort'],
  ['write', 'store-numkeys', 'zdiffstore zinterstore zunionstore'],
  ['write', 'streams', 'xreadgroup'],
]

/** They write by their flags, and masters never send them on: MIGRATE comes as DEL, FCALL as what it
 * wrote. */
const NEVER_SENT_ON = /^(MIGRATE|PFDEBUG|FCALL)$/

export class CommandTable {
  readonly entries: CommandInfo[] = []
  readonly other: CommandInfo
  #slots: Int32Array = new Int32Array(1024).fill(-1)

  constructor() {
    for (const [access, keys, names] of TABLE) {
      const finder = parseFinder(keys)
      for (const name of names.split(/\s+/)) this.#addKnown(name, access === 'write', finder)
    }
    this.other = this.#add('(OTHER)', true, NONE, false)
  }

  /** The entry for the name bytes[start] … bytes[end-1], or undefined. */
  find(bytes: Uint8Array, start: number, end: number): CommandInfo | undefined {
    const mask = this.#slots.length - 1
    for (let slot = hashName(bytes, start, end) & mask; ; slot = (slot + 1) & mask) {
      const index = this.#slots[slot]!
      if (index < 0) return undefined
      const entry = this.entries[index]!
      if (isName(bytes, start, end, entry.name)) return entry
    }
  }

  /** The entry for a name given as text. */
  get(name: string): CommandInfo | undefined {
    const upper = name.toUpperCase()
    return this.entries.find((entry) => entry.name === upper)
  }

  /**
   * The entry for the name; one without keys is added where the name is new. Names that no
   * server has (long, unprintable, ever new ones) share the entry `other`.
   */
  findOrAdd(bytes: Uint8Array, start: number, end: number): CommandInfo {
    const known = this.find(bytes, start, end)
    if (known !== undefined) return known
    if (this.entries.length >= MAX_ENTRIES || end - start > MAX_NAME_BYTES || end === start) {
      return this.other
    }
    let name = ''
    for (let i = start; i < end; i++) {
      const byte = bytes[i]!
      if (byte < 33 || byte > 126) return this.other
      name += String.fromCharCode(byte)
    }
    return this.#add(name, true, NONE, false)
  }

  /**
   * Adds what the static table lacks from a server's reply to COMMAND or COMMAND INFO: arrays
   * of [name, arity, flags, first key, last key, step, …]. Returns the number of new entries.
   */
  learn(reply: unknown): number {
    if (!Array.isArray(reply)) return 0
    let added = 0
    for (const row of reply as unknown[]) {
      if (!Array.isArray(row)) continue
      const [name, , flags, first, last, step] = row as unknown[]
      if (typeof name !== 'string' || !Array.isArray(flags) || !/^[\x21-\x7e]+$/.test(name))
        continue
      if (this.get(name) !== undefined) continue
      const keys: KeyFinder =
        typeof first === 'number' && first > 0 && typeof last === 'number'
          ? { kind: 'range', first, last, step: typeof step === 'number' && step > 0 ? step : 1 }
          : NONE
      const writes = flags.includes('write')
      this.#add(name, writes || flags.includes('may_replicate'), keys, writes)
      added += 1
    }
    return added
  }

  #addKnown(name: string, isWrite: boolean, keys: KeyFinder): void {
    this.#add(name, isWrite, keys, isWrite && !NEVER_SENT_ON.test(name.toUpperCase()))
  }

  #add(name: string, isWrite: boolean, keys: KeyFinder, isPropagated: boolean): CommandInfo {
    const entry: CommandInfo = {
      name: name.toUpperCase(),
      index: this.entries.length,
      isWrite,
      isPropagated,
      keys,
    }
    this.entries.push(entry)
    if (4 * this.entries.length > this.#slots.length) {
      this.#slots = new Int32Array(2 * this.#slots.length).fill(-1)
      for (const each of this.entries) this.#place(each)
    } else {
      this.#place(entry)
    }
    return entry
  }

  #place(entry: CommandInfo): void {
    const mask = this.#slots.length - 1
    let slot = hashText(entry.name) & mask
    while (this.#slots[slot]! >= 0) slot = (slot + 1) & mask
    this.#slots[slot] = entry.index
  }
}

/** Finds the keys of commands; `positions` holds argument numbers, up to `count`. */
export class KeyPositions {
  positions = new Int32Array(16)
  count = 0

  /** For the decoder's current command. Malformed numbers and options give no keys. */
  find(info: CommandInfo, command: CommandDecoder): number {
    this.count = 0
    const keys = info.keys
    const argc = command.argc
    switch (keys.kind) {
      case 'none':
        break
      case 'range': {
        const last = keys.last < 0 ? argc + keys.last : keys.last
        for (let i = keys.first; i <= last && i < argc; i += keys.step) this.#add(i)
        break
      }
      case 'numkeys':
        this.#numkeys(command, keys.at, keys.step)
        break
      case 'store-numkeys':
        if (argc > 1) this.#add(1)
        this.#numkeys(command, 2, 1)
        break
      case 'geo':
      case 'sort':
        if (argc > 1) this.#add(1)
        for (let i = 2; i + 1 < argc; i++) {
          if (
            isArg(command, i, 'STORE') ||
            (keys.kind === 'geo' && isArg(command, i, 'STOREDIST'))
          ) {
            this.#add(i + 1)
            i += 1
          } else if (keys.kind === 'sort') {
            // Options that take values which could look like STORE.
            if (isArg(command, i, 'LIMIT')) i += 2
            else if (isArg(command, i, 'GET') || isArg(command, i, 'BY')) i += 1
          }
        }
        break
      case 'migrate':
        if (argc > 3 && command.args[6]! !== command.args[7]!) {
          this.#add(3)
        } else {
          for (let i = 4; i < argc; i++) {
            if (!isArg(command, i, 'KEYS')) continue
            for (let k = i + 1; k < argc; k++) this.#add(k)
            break
          }
        }
        break
      case 'streams':
        for (let i = 1; i < argc; i++) {
          if (!isArg(command, i, 'STREAMS')) continue
          const half = Math.floor((argc - i - 1) / 2)
          for (let k = 1; k <= half; k++) this.#add(i + k)
          break
        }
    }
    return this.count
  }

  #numkeys(command: CommandDecoder, at: number, step: number): void {
    if (at >= command.argc) return
    const start = command.args[2 * at]!
    const end = command.args[2 * at + 1]!
    if (end - start > 9) return
    let number = 0
    for (let i = start; i < end; i++) {
      const digit = command.bytes[i]! - 48
      if (digit < 0 || digit > 9) return
      number = 10 * number + digit
    }
    for (let k = 0; k < number; k++) {
      const i = at + 1 + k * step
      if (i >= command.argc) return
      this.#add(i)
    }
  }

  #add(position: number): void {
    if (this.count === this.positions.length) {
      const next = new Int32Array(2 * this.count)
      next.set(this.positions)
      this.positions = next
    }
    this.positions[this.count++] = position
  }
}

/** Argument i of the current command is this word (upper case), without regard to case. */
export function isArg(command: CommandDecoder, i: number, word: string): boolean {
  return isName(command.bytes, command.args[2 * i]!, command.args[2 * i + 1]!, word)
}

/** The bytes are this name (upper case), without regard to case. */
export function isName(bytes: Uint8Array, start: number, end: number, name: string): boolean {
  if (end - start !== name.length) return false
  for (let i = 0; i < name.length; i++) {
    const byte = bytes[start + i]!
    const upper = byte >= 97 && byte <= 122 ? byte - 32 : byte
    if (upper !== name.charCodeAt(i)) return false
  }
  return true
}

function parseFinder(text: string): KeyFinder {
  if (text === '-') return NONE
  const [word, ...numbers] = text.split(' ')
  switch (word) {
    case 'numkeys':
      return { kind: 'numkeys', at: Number(numbers[0]), step: Number(numbers[1] ?? 1) }
    case 'store-numkeys':
    case 'geo':
    case 'sort':
    case 'migrate':
    case 'streams':
      return { kind: word }
    default: {
      const [first, last, step] = text.split(' ').map(Number)
      return { kind: 'range', first: first!, last: last!, step: step! }
    }
  }
}

/** FNV-1a over the letters with the bit of case set. */
function hashName(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ (bytes[i]! | 32), 0x01000193)
  return hash >>> 0
}

function hashText(name: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < name.length; i++) {
    hash = Math.imul(hash ^ (name.charCodeAt(i) | 32), 0x01000193)
  }
  return hash >>> 0
}
