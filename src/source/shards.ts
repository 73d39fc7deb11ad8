/**
 * The dumps of a cluster's shards, as `sync --cluster` and `redis-cli --cluster backup` leave them in a
 * directory with `nodes.json`, as one RDB: the header of the newest, the records of each in the order of
 * their slots, one end. So whatever reads an RDB reads all shards as one source.
 *
 * Each dump's own checksum is compared when its last byte has passed, and what is wrong in one is told
 * with its name and the offset in it. The whole carries a checksum like any RDB.
 */
import { Buffer } from 'node:buffer'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { ProtocolError, RdbError } from '../errors.js'
import { statOf } from '../disk/stat.js'
import { Crc64 } from '../kernels/crc64.js'
import { parseRdbMagic } from '../rdb/head.js'
import { isClusterArchive } from '../archive/cluster-record.js'
import { NODES_FILE, readNodesFile } from './nodes-file.js'
import type { ByteInput, PumpOptions, Push } from './byte-input.js'

/** `REDIS0011`, `VALKEY080`. */
const MAGIC_BYTES = 9
/** Before it (RDB 1 to 4) there is no checksum, and there are no clusters. */
const FIRST_WITH_CHECKSUM = 5
const EOF_OPCODE = 0xff
/** EOF and checksum. */
const END_BYTES = 9
/** Opens one of the dumps; `openInput` of source.ts. */
type Open = (path: string) => Promise<ByteInput>

export function isShardDirectory(path: string): boolean {
  const hasNodes = statOf(join(path, NODES_FILE))?.isFile() === true
  return statOf(path)?.isDirectory() === true && hasNodes && !isClusterArchive(path)
}

/** Throws FileError (a dump is missing), RdbError, ProtocolError. */
export async function openShards(directory: string, open: Open): Promise<ByteInput> {
  return await joinDumps(directory, shardsOf(directory), open)
}

/** Dumps of one family as one, in this order; `name` is what they are together. */
export async function joinDumps(
  name: string,
  shards: readonly { readonly path: string }[],
  open: Open,
): Promise<ByteInput> {
  const heads: Buffer[] = []
  const sizes: number[] = []
  let newest: { magic: Buffer; version: number; family: string } | undefined
  for (const { path } of shards) {
    const input = await open(path)
    input.close()
    heads.push(input.head)
    sizes.push(input.sizeBytes ?? 0)
    if (input.kind !== 'rdb') throw noRdb(path)
    const { family, version } = parseRdbMagic(input.head)
    if (newest !== undefined && newest.family !== family) throw twoFamilies(name)
    if (version < FIRST_WITH_CHECKSUM) throw noRdb(path)
    if (newest !== undefined && newest.version >= version) continue
    newest = { magic: Buffer.from(input.head.subarray(0, MAGIC_BYTES)), version, family }
  }
  if (newest === undefined) throw noRdb(name)
  const head = Buffer.concat([newest.magic, heads[0]!.subarray(MAGIC_BYTES)])
  const parts = shards.map(({ path }, index) => ({ path, sizeBytes: sizes[index]! }))
  return new ShardsInput(name, parts, newest.magic, head, open)
}

interface Shard {
  readonly path: string
  readonly sizeBytes: number
}

class ShardsInput implements ByteInput {
  readonly name: string
  readonly kind = 'rdb'
  readonly compression = 'none'
  readonly sizeBytes: number
  readonly head: Buffer
  consumedBytes = 0
  readonly #shards: readonly Shard[]
  readonly #magic: Buffer
  readonly #open: Open
  #opened: ByteInput | undefined

  constructor(name: string, shards: readonly Shard[], magic: Buffer, head: Buffer, open: Open) {
    this.name = name
    this.#shards = shards
    this.#magic = magic
    this.head = head
    this.#open = open
    this.sizeBytes = shards.reduce((sum, each) => sum + each.sizeBytes, 0)
  }

  async pump(push: Push, options: PumpOptions = {}): Promise<void> {
    const whole = new Crc64()
    let passedBytes = 0
    const state = { goesOn: true }
    const hand = async (bytes: Buffer): Promise<boolean> => {
      if (bytes.length === 0 || !state.goesOn) return state.goesOn
      whole.update(bytes)
      const answer = push(bytes)
      state.goesOn = (typeof answer === 'object' ? await answer : answer) !== false
      passedBytes += bytes.length
      return state.goesOn
    }
    await hand(this.#magic)
    for (const { path, sizeBytes } of this.#shards) {
      const input = await this.#open(path)
      this.#opened = input
      const beganAt = passedBytes
      const before = this.consumedBytes
      try {
        await this.#records(input, hand, {
          ...options,
          onProgress: (bytes) => {
            this.consumedBytes = before + bytes
            options.onProgress?.(this.consumedBytes)
          },
        })
      } catch (error) {
        // What was handed over began behind the magic of the dump.
        throw inShard(error, path, MAGIC_BYTES - beganAt)
      } finally {
        input.close()
      }
      this.consumedBytes = before + sizeBytes
      if (!state.goesOn) return
    }
    const end = Buffer.alloc(END_BYTES)
    end[0] = EOF_OPCODE
    whole.update(end, 0, 1)
    end.writeBigUInt64LE(whole.value, 1)
    const answer = push(end)
    if (typeof answer === 'object') await answer
  }

  /** All of one dump but its magic and its end, which are looked at. */
  async #records(
    input: ByteInput,
    hand: (bytes: Buffer) => Promise<boolean>,
    options: PumpOptions,
  ): Promise<void> {
    const own = new Crc64()
    /** The last bytes so far: they may be the end. */
    let held = Buffer.alloc(0)
    let skip = MAGIC_BYTES
    let byteOffset = 0
    await input.pump(async (chunk) => {
      byteOffset += chunk.length
      own.update(chunk)
      const from = Math.min(skip, chunk.length)
      skip -= from
      const fresh = chunk.length - from
      if (fresh <= END_BYTES) {
        const all = Buffer.concat([held, chunk.subarray(from)])
        const keep = Math.min(END_BYTES, all.length)
        held = all.subarray(all.length - keep)
        return await hand(all.subarray(0, all.length - keep))
      }
      const until = chunk.length - END_BYTES
      const tail = Buffer.from(chunk.subarray(until))
      if (!(await hand(held))) return false
      held = tail
      return await hand(chunk.subarray(from, until))
    }, options)
    const where = { file: input.name, byteOffset: Math.max(0, byteOffset - END_BYTES) }
    if (held.length < END_BYTES || held[0] !== EOF_OPCODE) {
      throw new RdbError('ERR_RDB_TRUNCATED', { ...where, byteOffset }, 'the dump ends too early')
    }
    const isAbsent = held.subarray(1).every((byte) => byte === 0)
    if (!isAbsent && !own.isZero) {
      throw new RdbError(
        'ERR_RDB_CORRUPT',
        { ...where, reading: 'checksum' },
        'the checksum does not match: some byte before it is not what the server wrote',
      )
    }
  }

  readTail(): undefined {
    return undefined
  }

  close(): void {
    this.#opened?.close()
  }
}

/** An error at an offset of the whole, as one of the dump. */
function inShard(error: unknown, file: string, shiftBytes: number): unknown {
  if (!(error instanceof RdbError) || error.where.file === file) return error
  const { byteOffset } = error.where
  const where = {
    ...error.where,
    file,
    ...(byteOffset === undefined ? {} : { byteOffset: Math.max(0, byteOffset + shiftBytes) }),
  }
  return new RdbError(error.rdbCode, where, error.what, { cause: error, hint: error.hint })
}

function shardsOf(directory: string): readonly { readonly path: string }[] {
  const names = readdirSync(directory)
  return readNodesFile(join(directory, NODES_FILE)).map(({ id }) => {
    const file = names.find((each) => /\.rdb(\.gz|\.zst)?(\.age)?$/.test(each) && each.includes(id))
    if (file !== undefined) return { path: join(directory, file) }
    throw new ProtocolError('ERR_NO_RDB', `${directory} lacks the dump of the node ${id}`, {
      hint: 'nodes.json names it: without it the cluster is not whole',
      details: { directory, node: id },
    })
  })
}

function noRdb(path: string): RdbError {
  return new RdbError('ERR_RDB_CORRUPT', { file: path, byteOffset: 0 }, 'this is no RDB of a shard')
}

function twoFamilies(directory: string): ProtocolError {
  return new ProtocolError(
    'ERR_NOT_SUPPORTED',
    `${directory}: these are dumps of Redis and of Valkey`,
    {
      hint: 'read them one by one: types of the one have other numbers in the other',
    },
  )
}
