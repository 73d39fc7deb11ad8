/**
 * A dump that is served before it is read: a plain file whose two ends say that it is one and nothing
 * else. Its checksum names its content, so that nothing needs to be read for its replid. It is looked
 * through while replicas load it: no byte goes out before the values that it belongs to were found
 * sound, and the last ones only when the checksum is right.
 */
import { RdbError } from '../../errors.js'
import { allocateInputBuffer } from '../../kernels/kernel.js'
import { rdbMagicOf, readAuxFields, serverVersionOf } from '../../rdb/head.js'
import { OPCODE } from '../../rdb/numbers.js'
import { RdbParser } from '../../rdb/parser.js'
import { DEPTH } from '../../rdb/visitor.js'
import type { FrozenOrigin } from '../../serving/origin/frozen-origin.js'
import { contentIdOf, END_BYTES, RdbScan } from '../../serving/origin/rdb-scan.js'
import { hasPreamble } from '../../source/dump-head.js'
import { openInput, type ByteInput } from '../../source/source.js'
import { isPipe } from '../../source/stored-pipe.js'
import { statOf } from '../../disk/stat.js'
import { replidOf, type ServeFilesOptions } from './files.js'
import type { DumpFacts, FrozenFacts } from './options.js'

/** A smaller one is read before anybody could notice. */
const LEAST_BYTES = 8 << 20
const READ_BYTES = 2 << 20
const CHECKSUM_BYTES = 8
const FIRST_WITH_CHECKSUM = 5

export interface ReadyDump {
  readonly frozen: FrozenFacts
  /** Looks through it, and tells the origin how far it came. Rejects with RdbError, FileError or
   * AbortedError: its replicas are left then, none has the end. */
  check(origin: FrozenOrigin): Promise<DumpFacts>
}

/** Undefined: it has to be read first. Throws FileError. */
export async function openReadyDump(options: ServeFilesOptions): Promise<ReadyDump | undefined> {
  const { path, until, signal, onProgress } = options
  if (until !== undefined || path === '-' || isPipe(path)) return undefined
  const stat = statOf(path)
  if (stat?.isFile() !== true || stat.size < LEAST_BYTES) return undefined
  const input = await openInput(path, { signal })
  try {
    const magic = rdbMagicOf(input.head)
    const tail = input.readTail(END_BYTES)
    if (magic === undefined || tail === undefined || !endsAsDump(input, tail)) return undefined
    if (magic.version < FIRST_WITH_CHECKSUM) return undefined
    const rdbBytes = stat.size
    const contentId = contentIdOf(rdbBytes, await headOf(input), tail)
    const facts = { ...magic, rdbBytes, ...wordsOf(input.head) }
    return {
      frozen: {
        source: {
          replid: replidOf(contentId),
          snapshot: {
            path,
            byteOffset: 0,
            lengthBytes: rdbBytes,
            isUnchecked: true,
            findNeededVersion: async () => await scan(path),
          },
          stream: [],
        },
        dump: facts,
        rdb: undefined,
        commands: 0,
        streamBytes: 0,
        cutBytes: 0,
        cutFile: undefined,
        problems: [],
        lastSeconds: undefined,
      },
      check: async (origin) => {
        const keys = await walk(path, rdbBytes, {
          signal,
          onChecked: (bytes) => {
            origin.checkedTo(bytes)
            onProgress?.(bytes, rdbBytes)
          },
        })
        origin.checked()
        return { ...facts, keys }
      },
    }
  } finally {
    input.close()
  }
}

/** The end's opcode, then a checksum, and no word of commands behind it. */
function endsAsDump(input: ByteInput, tail: Buffer): boolean {
  const checksum = tail.subarray(-CHECKSUM_BYTES)
  return (
    tail.at(-CHECKSUM_BYTES - 1) === OPCODE.EOF &&
    checksum.some((byte) => byte !== 0) &&
    !hasPreamble(input.head)
  )
}

/** Of END_BYTES, where `input.head` has fewer. */
async function headOf(input: ByteInput): Promise<Buffer> {
  let head = Buffer.alloc(0)
  await input.pump(
    (chunk) => {
      head = Buffer.from(chunk)
      return false
    },
    { buffer: Buffer.allocUnsafe(END_BYTES) },
  )
  return head
}

function wordsOf(head: Buffer): Pick<DumpFacts, 'savedAtMs' | 'serverVersion'> {
  const ctime = Number(readAuxFields(head).get('ctime'))
  return {
    savedAtMs: Number.isSafeInteger(ctime) && ctime > 0 ? ctime * 1000 : undefined,
    serverVersion: serverVersionOf(head),
  }
}

/** To the last byte of every value, by kernels where they can. Resolves to the number of keys. */
async function walk(
  path: string,
  rdbBytes: number,
  {
    signal,
    onChecked,
  }: { signal: AbortSignal | undefined; onChecked: (byteCount: number) => void },
): Promise<number> {
  const input = await openInput(path, { signal })
  const parser = new RdbParser(
    { key: () => DEPTH.SKIP },
    { file: path, validate: true, strict: false, checkOnly: true },
  )
  let checkedBytes = 0
  try {
    await input.pump(
      (chunk) => {
        const taken = parser.push(chunk)
        checkedBytes += taken
        if (taken < chunk.length) throw endsBefore(path, checkedBytes, rdbBytes)
        onChecked(checkedBytes)
        return undefined
      },
      { signal, buffer: allocateInputBuffer(READ_BYTES) },
    )
    const { keysRead, rdbBytes: foundBytes } = parser.end()
    if (foundBytes !== rdbBytes) throw endsBefore(path, foundBytes, rdbBytes)
    return keysRead
  } finally {
    input.close()
  }
}

function endsBefore(file: string, byteOffset: number, rdbBytes: number): RdbError {
  return new RdbError(
    'ERR_RDB_CORRUPT',
    { file, byteOffset, reading: 'end' },
    `the dump ends before the file does: ${rdbBytes - byteOffset} bytes are behind it`,
  )
}

/** The lowest version that its content can stand under. */
async function scan(path: string): Promise<number | undefined> {
  const input = await openInput(path)
  const found = new RdbScan(path)
  try {
    await input.pump((chunk) => {
      found.push(chunk)
      return undefined
    })
    return found.facts().neededVersion
  } finally {
    input.close()
  }
}
