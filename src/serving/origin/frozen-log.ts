/**
 * The stream of a frozen master: commands that stand in files, and behind them PINGs without end.
 *
 * Nothing is copied: the stream is a list of ranges of the source's own files and of a few bytes
 * between them. The PINGs are not kept at all, since the byte at any offset behind the commands
 * follows from its distance to them. So a replica that comes back to a restarted process, which
 * has sent fewer PINGs so far, is still given exactly the bytes that it would have had.
 */
import { open, type FileHandle } from 'node:fs/promises'
import { FileError } from '../../errors.js'
import { command } from '../clients/replies.js'
import type { StreamLog } from './stream-log.js'

/** A part of the stream: bytes of a file, or bytes as they are. */
export type StreamPart =
  { path: string; byteOffset: number; lengthBytes: number } | { bytes: Buffer }

const PING = command('PING')
/** Many PINGs, so that a view of some of them needs no making. */
const PINGS = Buffer.concat(Array.from({ length: 1024 }, () => PING))

export class FrozenLog implements StreamLog {
  readonly firstReplOffset: number
  readonly memoryBytes = PINGS.length
  /** Last byte of the commands. */
  readonly commandsEndReplOffset: number
  readonly #parts: readonly StreamPart[]
  /** Offset of each part's first byte. */
  readonly #starts: number[] = []
  readonly #files = new Map<string, Promise<FileHandle>>()
  #endReplOffset: number

  /** `baseReplOffset` is that of the snapshot. */
  constructor(baseReplOffset: number, parts: readonly StreamPart[]) {
    this.firstReplOffset = baseReplOffset + 1
    this.#parts = parts
    let next = this.firstReplOffset
    for (const part of parts) {
      this.#starts.push(next)
      next += lengthOf(part)
    }
    this.commandsEndReplOffset = next - 1
    this.#endReplOffset = next - 1
  }

  get endReplOffset(): number {
    return this.#endReplOffset
  }

  ping(): void {
    this.#endReplOffset += PING.length
  }

  /** Makes the end at least this, by whole PINGs; false where no number of PINGs ends there, or
   * it lies before the end of the commands. */
  reach(replOffset: number): boolean {
    const behind = replOffset - this.commandsEndReplOffset
    if (behind < 0 || behind % PING.length !== 0) return false
    this.#endReplOffset = Math.max(this.#endReplOffset, replOffset)
    return true
  }

  view(replOffset: number, maxBytes: number): Buffer | undefined {
    const behind = replOffset - this.commandsEndReplOffset - 1
    if (behind >= 0) {
      const start = behind % PING.length
      const count = Math.min(maxBytes, this.#endReplOffset - replOffset + 1, PINGS.length - start)
      return PINGS.subarray(start, start + count)
    }
    const index = this.#partAt(replOffset)
    const part = this.#parts[index]!
    if (!('bytes' in part)) return undefined
    const start = replOffset - this.#starts[index]!
    return part.bytes.subarray(start, start + maxBytes)
  }

  async read(replOffset: number, into: Buffer): Promise<number> {
    let filled = 0
    let index = this.#partAt(replOffset)
    let within = replOffset - this.#starts[index]!
    // Parts may be small (a second of commands each): a buffer is filled from many of them.
    while (filled < into.length && index < this.#parts.length) {
      const part = this.#parts[index]!
      const count = Math.min(into.length - filled, lengthOf(part) - within)
      if ('bytes' in part) part.bytes.copy(into, filled, within, within + count)
      else await this.#readFile(part, within, into, filled, count)
      filled += count
      index += 1
      within = 0
    }
    return filled
  }

  async close(): Promise<void> {
    for (const opening of this.#files.values()) {
      const handle = await opening.catch(() => undefined)
      await handle?.close()
    }
    this.#files.clear()
  }

  async #readFile(
    part: { path: string; byteOffset: number },
    within: number,
    into: Buffer,
    at: number,
    length: number,
  ): Promise<void> {
    let opening = this.#files.get(part.path)
    if (opening === undefined) {
      opening = open(part.path, 'r')
      this.#files.set(part.path, opening)
    }
    try {
      const handle = await opening
      let done = 0
      while (done < length) {
        const position = part.byteOffset + within + done
        const { bytesRead } = await handle.read(into, at + done, length - done, position)
        if (bytesRead === 0) {
          throw new FileError(
            'ERR_FILE_CHANGED',
            `${part.path} became shorter while it was served`,
            {
              details: { file: part.path, byteOffset: position },
            },
          )
        }
        done += bytesRead
      }
    } catch (error) {
      if (error instanceof FileError) throw error
      const code = (error as NodeJS.ErrnoException).code ?? 'failed'
      throw new FileError('ERR_CANNOT_READ', `cannot read ${part.path}: ${code}`, { cause: error })
    }
  }

  /** The last part that begins at or before the offset: a binary search. */
  #partAt(replOffset: number): number {
    let low = 0
    let high = this.#starts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#starts[middle]! <= replOffset) low = middle
      else high = middle - 1
    }
    return low
  }
}

function lengthOf(part: StreamPart): number {
  return 'bytes' in part ? part.bytes.length : part.lengthBytes
}
