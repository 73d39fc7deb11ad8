/**
 * Replay from what lies on disk: an RDB, an AOF with or without a preamble, a directory in
 * multi-part form (a server's own, or an archive with its offsets).
 */
import { UsageError } from '../../errors.js'
import { AofParser, type AofPosition, type AofVisitor } from '../../aof/aof-parser.js'
import { MomentGate } from '../../archive/moment-gate.js'
import type { Checkpoint } from '../../target/checkpoint.js'
import { sleep } from '../../net/waiting.js'
import { isArg } from '../../resp/command-table.js'
import type { SlotRanges } from '../../topology/cluster-nodes.js'
import type { CommandDecoder } from '../../resp/decoder.js'
import { checkMomentOfDump, hasPreamble } from '../../source/dump-head.js'
import { isReadOnce, refuseForStream } from './checks.js'
import {
  checkParts,
  hasChecksum,
  refuseEmpty,
  refuseKind,
  refuseUnfinished,
} from './source-check.js'
import { TargetRewound } from '../../target/stream/target-rewound.js'
import { loadIntoCluster } from './into-cluster/load.js'
import { interruptedLoad } from './interrupted-load.js'
import { keepInput } from './kept-input.js'
import type { ReplayOutcome } from './options.js'
import {
  closeParts,
  hasPreambleMark,
  nameOfParts,
  openParts,
  singlePart,
  type ReplayPart,
  type ReplayParts,
} from './parts.js'
import type { ReplaySession } from './session.js'
import { skipSnapshot, SnapshotFlow } from './snapshot-flow.js'
import { openInput, type ByteInput } from '../../source/source.js'

const CHUNK_BYTES = 128 << 10

export async function replayFiles(session: ReplaySession): Promise<ReplayOutcome> {
  const { source } = session.options
  if (source.kind === 'server') throw new UsageError('not a file')
  const opened = await openParts(session.options)
  try {
    for (const message of opened.problems) session.event({ event: 'warning', message })
    refuseEarly(session, opened.parts)
    await session.meetTarget()
    if (!session.isToBeEmptied) return await replayParts(session, opened)
    return await replayWhole(session, opened)
  } finally {
    closeParts(opened.parts)
  }
}

/** A cluster that has lost some of what it had confirmed, or not told, is read for from there again. */
async function replayParts(session: ReplaySession, opened: ReplayParts): Promise<ReplayOutcome> {
  let replay = new FileReplay(session, opened)
  let outcome = replay.run()
  for (;;) {
    try {
      return await outcome
    } catch (error) {
      const { intoCluster } = session.options
      if (!(error instanceof TargetRewound) || intoCluster === undefined) throw error
      session.ledger.forgetPending()
      session.streamWriter!.rewind(error.checkpoint)
      replay = new FileReplay(session, opened)
      // Those that are open were read already.
      opened.parts.forEach((part) => part.input?.close())
      opened.parts.forEach((part) => (part.input = undefined))
      outcome = replay.goOn(error.checkpoint)
    }
  }
}

/** Into a target that is emptied once the source is known to be whole. */
async function replayWhole(session: ReplaySession, opened: ReplayParts): Promise<ReplayOutcome> {
  const { source } = session.options
  // What is read once only is kept: it is read to its end before anything is deleted for it.
  const kept = isReadOnce(source) ? await keepInput(source, session.options) : undefined
  try {
    const whole = kept === undefined ? opened : { ...opened, parts: [singlePart(kept.path)] }
    await checkParts(whole.parts, {
      moment: whole.moment,
      identity: session.options.identity,
      signal: session.options.signal,
      onProgress: (done, total) => session.progress({ phase: 'check', done, total, unit: 'bytes' }),
      onCommands: () => refuseForStream(session.options),
    })
    await session.emptyTarget()
    return await replayParts(session, { ...whole, areTimesChecked: true })
  } finally {
    kept?.remove()
  }
}

/** What is no good for commands is said before a target is emptied, where that can be seen: what
 * comes through a pipe or compressed is refused when its commands begin. */
function refuseEarly(session: ReplaySession, parts: readonly ReplayPart[]): void {
  const [first] = parts
  if (parts.length > 1) refuseForStream(session.options)
  if (first?.input?.sizeBytes === undefined) return
  const { input, path } = first
  if (input.kind === 'aof' || hasPreambleMark(input)) refuseForStream(session.options)
  else if (first.role === 'single') {
    checkMomentOfDump(input.head, path, session.options.until)
  }
}

class FileReplay implements AofVisitor {
  readonly #session: ReplaySession
  readonly #parts: readonly ReplayPart[]
  readonly #sourceName: string
  /** Bytes of the parts before the one at hand. */
  #partStart = 0
  #path = ''
  #resume: Checkpoint | undefined
  #parser: AofParser | undefined
  readonly #gate: MomentGate
  readonly #areTimesChecked: boolean
  #ended = false
  /** Slots whose keys were deleted here. */
  #deleted: SlotRanges | undefined
  #ruleSeconds = -1
  #streamOpen = false
  readonly #fromSeconds: number

  constructor(session: ReplaySession, { parts, moment, areTimesChecked }: ReplayParts) {
    this.#session = session
    this.#parts = parts
    this.#areTimesChecked = areTimesChecked
    this.#gate = new MomentGate(moment)
    const { fromMs } = session.options
    this.#fromSeconds = fromMs === undefined ? -Infinity : fromMs / 1000
    this.#sourceName = `file:${nameOfParts(parts)}`
  }

  async run(): Promise<ReplayOutcome> {
    const session = this.#session
    for (const [index, part] of this.#parts.entries()) {
      if (this.#ended) break
      const { stdin, identity, signal } = session.options
      const input = part.input ?? (await openInput(part.path, { stdin, identity, signal }))
      try {
        await this.#part(part, input, index === this.#parts.length - 1)
      } finally {
        input.close()
      }
    }
    await this.#finish()
    return {
      replOffset: this.#gate.hasReplOffsets ? this.#gate.offset : undefined,
      stopped: false,
    }
  }

  /** Behind what an earlier reading has done. */
  async goOn(checkpoint: Checkpoint): Promise<ReplayOutcome> {
    this.#resume = checkpoint
    this.#streamOpen = true
    return await this.run()
  }

  async #part(part: ReplayPart, input: ByteInput, isLast: boolean): Promise<void> {
    switch (input.kind) {
      case 'empty':
        refuseEmpty(part)
        return
      // The parser unpacks Valkey's envelope (`vcs`) itself.
      case 'rdb':
      case 'vcs':
        await this.#rdbPart(part, input, isLast)
        return
      case 'aof':
        await this.#aofPart(part, input, isLast)
        return
      case 'manifest':
      case 'unknown':
        refuseKind(part, input.kind)
    }
  }

  async #rdbPart(part: ReplayPart, input: ByteInput, isLast: boolean): Promise<void> {
    const session = this.#session
    // A preamble says so before its keys; a base in a directory has increments behind it.
    const isPreamble = part.role === 'single' && hasPreambleMark(input)
    const streamFollows = this.#parts.length > 1 || isPreamble
    if (streamFollows) await this.#openStream()
    // What comes through a pipe may have commands behind it, and says so by the same mark.
    else if (part.role === 'single' && !hasPreamble(input.head)) {
      checkMomentOfDump(input.head, input.name, session.options.until)
    }
    const resume = this.#resume
    let isBehind = false as boolean
    const beginCommands = async (rdbBytes: number): Promise<void> => {
      isBehind = true
      await this.#beginCommands(part, rdbBytes)
    }
    let rdbBytes: number
    if (resume !== undefined && resume.phase !== 'load') {
      rdbBytes = await skipSnapshot(session, input, async (bytes, rdbBytes) => {
        if (!isBehind) await beginCommands(rdbBytes)
        return await this.#pushCommands(bytes)
      })
    } else if (session.options.intoCluster !== undefined) {
      if (resume !== undefined) this.#checkReload(resume)
      const { path } = part
      const load = { path, name: input.name, replaceOwn: resume !== undefined, isPreamble }
      await loadIntoCluster(session, session.options.intoCluster, load)
      rdbBytes = await skipSnapshot(session, input, async (bytes, rdbBytes) => {
        if (!isBehind) {
          await this.#checkpoint('stream', this.#partStart + rdbBytes)
          await beginCommands(rdbBytes)
        }
        return await this.#pushCommands(bytes)
      })
      if (!isBehind) await this.#checkpoint('stream', this.#partStart + rdbBytes)
    } else {
      if (resume !== undefined) this.#checkReload(resume)
      const flow = await SnapshotFlow.open(session, input, {
        replaceOwn: resume !== undefined,
        streamFollows,
        validate: isPreamble || !hasChecksum(input),
      })
      await flow.run({
        confirm: async ({ rdbBytes }) => {
          if (this.#streamOpen) await this.#checkpoint('stream', this.#partStart + rdbBytes)
        },
        behind: async (bytes, { rdbBytes }) => {
          if (!isBehind) await beginCommands(rdbBytes)
          return await this.#pushCommands(bytes)
        },
      })
      rdbBytes = flow.rdbBytes
    }
    if (isBehind) await this.#endPart(part, isLast)
    else this.#partStart += rdbBytes
  }

  async #aofPart(part: ReplayPart, input: ByteInput, isLast: boolean): Promise<void> {
    await this.#openStream()
    if (this.#partStart === 0) await this.#checkpoint('stream', 0)
    await this.#beginCommands(part, 0)
    await input.pump(
      async (chunk) => {
        const goesOn = await this.#pushCommands(chunk)
        this.#session.progress({
          phase: 'stream',
          done: input.consumedBytes,
          total: input.sizeBytes,
          unit: 'bytes',
        })
        return goesOn
      },
      {
        signal: this.#session.options.signal,
        buffer: Buffer.allocUnsafeSlow(CHUNK_BYTES),
      },
    )
    await this.#endPart(part, isLast)
  }

  async #openStream(): Promise<void> {
    if (this.#streamOpen) return
    const session = this.#session
    // Whether import-mode is used must be known before the connection is opened.
    await session.expiry.hold()
    this.#resume = await session.openStream(this.#sourceName, false)
    this.#streamOpen = true
    if (this.#resume === undefined) {
      await this.#checkpoint('load', 0)
      return
    }
    session.resume(this.#resume)
    if (this.#resume.phase === 'load') {
      await this.#checkpoint('load', 0)
    } else {
      session.event({ event: 'resumed', replOffset: this.#resume.nextReplOffset })
      await session.writeCheckpoint(this.#resume, 'stream')
    }
  }

  async #checkpoint(phase: 'load' | 'stream', position: number): Promise<void> {
    if (phase === 'stream' && this.#resume !== undefined && this.#resume.phase !== 'load') return
    await this.#session.writeCheckpoint(
      { source: this.#sourceName, replid: '', nextReplOffset: position, dbnum: 0 },
      phase,
    )
  }

  /** The base was being loaded when the run before this one ended. */
  #checkReload(resume: Checkpoint): void {
    if (resume.targetWasEmpty || this.#session.options.onConflict === 'replace') return
    throw interruptedLoad()
  }

  async #beginCommands(part: ReplayPart, byteOffset: number): Promise<void> {
    if (!this.#streamOpen) await this.#openStream()
    this.#path = part.path
    this.#gate.beginPart(this.#partStart)
    this.#parser = new AofParser(this, {
      file: part.path,
      byteOffset,
      unixSeconds: this.#parser?.position.unixSeconds ?? -1,
    })
    // Each part begins in db 0.
    this.#session.applier!.startAt(this.#partStart + byteOffset, 0)
  }

  /** False: the moment that was asked for is reached. */
  async #pushCommands(chunk: Uint8Array): Promise<boolean> {
    const session = this.#session
    for (let rest = chunk; ;) {
      const parser: AofParser = this.#parser!
      const startByteOffset = parser.end().endByteOffset
      parser.push(rest)
      const slots = this.#deleted
      if (slots === undefined) break
      this.#deleted = undefined
      await this.#deleteSlots(slots)
      const { endByteOffset: byteOffset, unixSeconds } = parser.position
      this.#parser = new AofParser(this, { file: this.#path, byteOffset, unixSeconds })
      rest = rest.subarray(byteOffset - startByteOffset)
    }
    const { streamWriter, applier, rate } = session
    rate?.spend(chunk.length)
    const delayMs = rate?.delayMs ?? 0
    if (delayMs > 0) await sleep(delayMs, session.options.signal)
    if (streamWriter!.isFull || session.isDry) applier!.seal()
    const drained = streamWriter!.drain()
    if (drained !== undefined) await drained
    return !this.#ended
  }

  async #deleteSlots(slots: SlotRanges): Promise<void> {
    const { applier, streamWriter, deleteSlots, ledger } = this.#session
    if (deleteSlots === undefined) {
      ledger.notHeld('keys of slots that were deleted whole')
      return
    }
    applier!.seal()
    await streamWriter!.flush()
    await deleteSlots(slots)
  }

  async #endPart(part: ReplayPart, isLast: boolean): Promise<void> {
    const session = this.#session
    const parser = this.#parser!
    const end = parser.end()
    if (!end.complete && !this.#ended) {
      if (!isLast) refuseUnfinished(part, end)
      session.event({
        event: 'warning',
        message:
          `${part.path} ends inside a ${end.reading ?? 'command'}: what follows byte ` +
          `${end.validByteOffset} is left out, as redis-server does`,
      })
      session.ledger.note(
        'unfinished end left out (bytes)',
        end.endByteOffset - end.validByteOffset,
      )
    }
    const dropped = session.applier!.dropTransaction()
    if (dropped > 0) {
      session.ledger.commands.read -= dropped
      session.ledger.note('commands of an unfinished transaction left out', dropped)
    }
    session.applier!.seal()
    await session.streamWriter!.flush()
    this.#partStart += end.endByteOffset
  }

  command(command: CommandDecoder, at: AofPosition): void {
    const { applier, rules, ledger } = this.#session
    const end = this.#partStart + at.endByteOffset
    if (!this.#gate.command(at)) {
      this.#stop()
      return
    }
    const isState =
      isArg(command, 0, 'SELECT') || isArg(command, 0, 'MULTI') || isArg(command, 0, 'EXEC')
    if (!isState) {
      // Done in an earlier run, or older than what was asked for.
      if (this.#resume !== undefined && end <= this.#resume.nextReplOffset) return
      if (at.unixSeconds < this.#fromSeconds) {
        ledger.commands.read += 1
        ledger.commands.skipped += 1
        return
      }
    }
    if (!isState && !this.#areTimesChecked) this.#gate.refuseWithoutTimes(this.#parts[0]!.path)
    const { unixSeconds } = at
    if (unixSeconds !== this.#ruleSeconds) {
      this.#ruleSeconds = unixSeconds
      rules!.receivedMs = () => (unixSeconds < 0 ? -1 : unixSeconds * 1000)
    }
    applier!.apply(command, end)
  }

  timestamp(unixSeconds: number): void {
    if (!this.#gate.timestamp(unixSeconds)) this.#stop()
  }

  annotation(line: Buffer, at: AofPosition): void {
    const slots = this.#gate.annotation(line, at)
    if (slots === undefined) return
    // Between what was read so far and what follows: the parser goes on behind it.
    this.#deleted = slots
    this.#parser!.stop()
  }

  #stop(): void {
    this.#ended = true
    this.#parser!.stop()
  }

  async #finish(): Promise<void> {
    const session = this.#session
    if (!this.#streamOpen) return
    await session.streamWriter!.flush()
    const unknown = session.rules?.relativeWithoutTime ?? 0
    if (unknown > 0) {
      session.ledger.note('relative expiries of unknown time, counted from now', unknown)
    }
    await session.expiry.release()
    if (!session.isDry) await session.streamWriter!.deleteCheckpoint()
  }
}
