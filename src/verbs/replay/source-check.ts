/**
 * Is a source whole, and can it be read? Asked before a target is emptied for it: nothing of the
 * target is touched for a source that is damaged, cut short, or nothing at all.
 *
 * Snapshots are walked to the last byte of every value and their checksum is compared; commands
 * are read to their end, or to the moment that was asked for. What it throws, the replay would.
 */
import { AofParser, type AofEnd } from '../../aof/aof-parser.js'
import type { Moment } from '../../archive/moment.js'
import { MomentGate } from '../../archive/moment-gate.js'
import { AofError, RdbError, UsageError } from '../../errors.js'
import { allocateInputBuffer } from '../../kernels/kernel.js'
import { RdbParser } from '../../rdb/parser.js'
import { DEPTH } from '../../rdb/visitor.js'
import { inKernel } from '../../source/rdb-input.js'
import { openInput, type ByteInput } from '../../source/source.js'
import type { ReplayPart } from './parts.js'

/** Enough for several large strings, which the kernel then checks side by side. */
const READ_BYTES = 2 << 20
const CHECKSUM_BYTES = 8

export interface SourceCheckOptions {
  moment?: Moment
  /** Opens what is encrypted with age. */
  identity?: string | undefined
  signal?: AbortSignal | undefined
  onProgress?: ((bytes: number, totalBytes: number | undefined) => void) | undefined
  /** Before the first command: throws where commands are not wanted. */
  onCommands?: (() => void) | undefined
}

/** Rejects with RdbError, AofError, FileError, UsageError, AbortedError or what `onCommands`
 * throws. */
export async function checkParts(
  parts: readonly ReplayPart[],
  options: SourceCheckOptions = {},
): Promise<void> {
  const check = new SourceCheck(options)
  for (const [index, part] of parts.entries()) {
    if (check.isOver) return
    await check.part(part, index === parts.length - 1)
  }
  check.end(parts[0]?.path ?? '')
}

/** Nothing at all is no source. An AOF's increment, or a base of commands, may be empty. */
export function refuseEmpty(part: ReplayPart): void {
  if (part.role === 'incr' || (part.role === 'base' && !part.path.endsWith('.rdb'))) return
  throw new RdbError(
    'ERR_RDB_TRUNCATED',
    { file: part.path, byteOffset: 0, reading: 'header' },
    'the file is empty',
  )
}

/**
 * An RDB that carries a checksum, by what can be seen before it is read: a plain file of version 5 or
 * newer that does not end with zeros (`rdbchecksum no`). Of one in a pipe, compressed, or in front
 * of commands that is not known.
 */
export function hasChecksum(input: ByteInput): boolean {
  if (input.kind !== 'rdb') return false
  if (/^REDIS000[1-4]/.test(input.head.toString('latin1', 0, 9))) return false
  const tail = input.readTail(CHECKSUM_BYTES)
  return tail?.some((byte) => byte !== 0) ?? false
}

/** What is neither an RDB nor commands. */
export function refuseKind(part: ReplayPart, kind: 'manifest' | 'unknown'): never {
  if (kind === 'manifest') {
    throw new UsageError(`${part.path} is a manifest`, { hint: 'name its directory' })
  }
  throw new AofError(
    'ERR_AOF_CORRUPT',
    { file: part.path, byteOffset: 0 },
    'neither an RDB nor an append-only file',
  )
}

/** Only the last of several files may stop inside a command. */
export function refuseUnfinished(part: ReplayPart, end: AofEnd): never {
  throw new AofError(
    'ERR_AOF_TRUNCATED',
    { file: part.path, byteOffset: end.endByteOffset, reading: end.reading },
    'the file stops short, and is not the last one',
  )
}

class SourceCheck {
  /** The moment asked for was reached. */
  isOver = false
  readonly #options: SourceCheckOptions
  readonly #gate: MomentGate
  readonly #buffer = allocateInputBuffer(READ_BYTES)
  #partStart = 0
  #unixSeconds = -1

  constructor(options: SourceCheckOptions) {
    this.#options = options
    this.#gate = new MomentGate(options.moment ?? 'end')
  }

  async part(part: ReplayPart, isLast: boolean): Promise<void> {
    const input = await openInput(part.path, this.#options)
    try {
      if (input.kind === 'empty') refuseEmpty(part)
      else if (input.kind === 'manifest' || input.kind === 'unknown') refuseKind(part, input.kind)
      else await this.#walk(part, input, isLast)
    } finally {
      input.close()
    }
  }

  /** @param name of the source, for its error */
  end(name: string): void {
    this.#gate.refuseWithoutTimes(name)
  }

  async #walk(part: ReplayPart, input: ByteInput, isLast: boolean): Promise<void> {
    const { signal, onProgress } = this.#options
    const rdb =
      input.kind === 'aof'
        ? undefined
        : new RdbParser(
            { key: () => DEPTH.SKIP },
            { file: part.path, checksum: 'verify', validate: true, strict: false, checkOnly: true },
          )
    let commands: AofParser | undefined
    let rdbBytes = 0
    await input.pump(
      (bytes) => {
        let rest = inKernel(bytes, this.#buffer)
        if (rdb !== undefined && commands === undefined) {
          const taken = rdb.push(rest)
          rdbBytes += taken
          rest = rest.subarray(taken)
        }
        if (rest.length === 0) return undefined
        commands ??= this.#beginCommands(part, rdbBytes)
        commands.push(rest)
        return !this.isOver
      },
      {
        signal,
        buffer: this.#buffer,
        onProgress: onProgress && (() => onProgress(input.consumedBytes, input.sizeBytes)),
      },
    )
    rdb?.end()
    const end = commands?.end()
    if (end?.complete === false && !this.isOver && !isLast) refuseUnfinished(part, end)
    this.#partStart += end?.endByteOffset ?? rdbBytes
  }

  #beginCommands(part: ReplayPart, byteOffset: number): AofParser {
    this.#options.onCommands?.()
    const gate = this.#gate
    gate.beginPart(this.#partStart)
    const parser: AofParser = new AofParser(
      {
        command: (_command, at) => {
          if (!gate.command(at)) this.#stop(parser)
        },
        timestamp: (unixSeconds) => {
          this.#unixSeconds = unixSeconds
          if (!gate.timestamp(unixSeconds)) this.#stop(parser)
        },
        annotation: (line, at) => gate.annotation(line, at),
      },
      { file: part.path, byteOffset, unixSeconds: this.#unixSeconds },
    )
    return parser
  }

  #stop(parser: AofParser): void {
    this.isOver = true
    parser.stop()
  }
}
