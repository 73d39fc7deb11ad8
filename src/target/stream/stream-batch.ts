/**
 * Some commands of the stream as one transaction on the target:
 *
 *   MULTI   command … command   [SELECT]   HMSET checkpoint …   EXEC
 *
 * With the checkpoint inside, the target has either all of it and says so, or nothing. The
 * source's own transactions lie whole inside one batch; their MULTI and EXEC are left away.
 */
import { Buffer } from 'node:buffer'
import { CommandEncoder } from '../../resp/encoder.js'
import { CHECKPOINT_DB, shardFields, type Checkpoint } from '../checkpoint.js'
import { argumentText, frameEnd } from '../server/resp-frames.js'
import type { PipelinedBatch } from '../server/target-connection.js'

export interface BatchError {
  /** Which command of the batch; -1: the transaction itself (MULTI, the checkpoint, EXEC). */
  frame: number
  /** Refused when it was queued: then nothing of the batch was executed. */
  queued: boolean
  text: string
}

const NO_COMMAND = -1

const MULTI = Buffer.from('*1\r\n$5\r\nMULTI\r\n')
const EXEC = Buffer.from('*1\r\n$4\r\nEXEC\r\n')

export class StreamBatch implements PipelinedBatch {
  readonly out = new CommandEncoder(1 << 16)
  isClosed = false
  expectedReplies = 0
  /** Commands sent for the stream, SELECT included. */
  frameCount = 0
  frameStart = new Int32Array(1024)
  /** Which command of the source each frame belongs to; NO_COMMAND: none that is still to count. */
  frameCommand = new Int32Array(1024)
  /** The stream behind the command that each frame came of. */
  frameReplOffset = new Float64Array(1024)
  /** Which of several streams it came of. */
  frameStream = new Uint16Array(1024)
  /** Of the command at hand. */
  commandReplOffset = -1
  commandStream = 0
  #command = NO_COMMAND
  #nextCommand = 0
  /** The target's db behind the last frame. */
  targetDb: number = CHECKPOINT_DB
  /** The stream up to here is in the batch; the next byte wanted behind it. */
  nextReplOffset = -1
  sourceDb = 0
  /** Where each stream is behind it, where there are several. */
  shards: ReadonlyMap<string, string> | undefined
  /** Commands of the source that the frames stand for. */
  sourceCommands = 0
  attempt = 0
  /** First frame of each transaction of the source, and the one behind it: for who wants to know. */
  transactions: number[] | undefined
  /** A script of the source is in it, which may run for ever. */
  hasScript = false
  readonly errors: BatchError[] = []

  constructor() {
    this.reset()
  }

  reset(): void {
    this.out.reset()
    this.out.raw(MULTI)
    this.isClosed = false
    this.frameCount = 0
    this.targetDb = CHECKPOINT_DB
    this.#command = NO_COMMAND
    this.#nextCommand = 0
    this.sourceCommands = 0
    this.attempt = 0
    this.hasScript = false
    this.errors.length = 0
    if (this.transactions !== undefined) this.transactions.length = 0
  }

  /** The frames that follow stand for one command of the source. */
  beginCommand(): void {
    this.#command = this.#nextCommand
    this.#nextCommand += 1
    this.sourceCommands += 1
  }

  /** The command at hand is counted elsewhere, whatever becomes of its frames. */
  discountCommand(): void {
    this.sourceCommands -= 1
    for (let frame = this.frameCount - 1; frame >= 0; frame -= 1) {
      if (this.frameCommand[frame] !== this.#command) break
      this.frameCommand[frame] = NO_COMMAND
    }
    this.#command = NO_COMMAND
  }

  /** Takes the commands of these frames out of the count; returns how many they are. A failure of
   * the transaction's own (-1) counts as one. */
  takeFailed(frames: readonly number[]): number {
    const failed = new Set(
      frames.map((frame) => (frame < 0 ? NO_COMMAND : this.frameCommand[frame]!)),
    )
    if (!frames.some((frame) => frame < 0)) failed.delete(NO_COMMAND)
    const count = Math.min(failed.size, this.sourceCommands)
    this.sourceCommands -= count
    for (let frame = 0; frame < this.frameCount; frame += 1) {
      if (failed.has(this.frameCommand[frame]!)) this.frameCommand[frame] = NO_COMMAND
    }
    return count
  }

  /** Called before the bytes of each frame. */
  beginFrame(): void {
    if (this.frameCount === this.frameStart.length) {
      this.frameStart = twice(this.frameStart)
      this.frameCommand = twice(this.frameCommand)
      const offsets = new Float64Array(2 * this.frameReplOffset.length)
      offsets.set(this.frameReplOffset)
      this.frameReplOffset = offsets
      const streams = new Uint16Array(2 * this.frameStream.length)
      streams.set(this.frameStream)
      this.frameStream = streams
    }
    this.frameStart[this.frameCount] = this.out.length
    this.frameCommand[this.frameCount] = this.#command
    this.frameReplOffset[this.frameCount] = this.commandReplOffset
    this.frameStream[this.frameCount] = this.commandStream
    this.frameCount += 1
  }

  select(db: number): void {
    if (db === this.targetDb) return
    this.beginFrame()
    this.out.begin(2).ascii('SELECT').integer(db)
    this.targetDb = db
  }

  /** Forgets everything from frame `frame` on. */
  cut(frame: number, targetDb: number): void {
    if (frame < this.frameCount) this.out.length = this.frameStart[frame]!
    this.frameCount = frame
    this.targetDb = targetDb
  }

  /** Moves the frames from `frame` on to the (empty) batch `to`; `targetDb` is the db before them. */
  moveTail(frame: number, targetDb: number, to: StreamBatch): void {
    if (frame < this.frameCount) {
      // Which of the two has it is not worth knowing.
      to.hasScript = this.hasScript
      to.select(targetDb)
      const from = this.frameStart[frame]!
      const shift = to.out.length - from
      to.out.raw(this.out.bytes, from, this.out.length)
      for (let i = frame; i < this.frameCount; i += 1) {
        to.beginFrame()
        to.frameStart[to.frameCount - 1] = this.frameStart[i]! + shift
        to.frameCommand[to.frameCount - 1] = this.frameCommand[i]!
        to.frameReplOffset[to.frameCount - 1] = this.frameReplOffset[i]!
        to.frameStream[to.frameCount - 1] = this.frameStream[i]!
      }
      to.#nextCommand = this.#nextCommand
      to.targetDb = this.targetDb
    }
    this.cut(frame, targetDb)
  }

  /** Adds the checkpoint and EXEC. */
  close(key: Uint8Array, checkpoint: Checkpoint): void {
    const { out } = this
    let extra = 1
    if (this.targetDb !== CHECKPOINT_DB) {
      out.begin(2).ascii('SELECT').integer(CHECKPOINT_DB)
      extra += 1
    }
    // All fields each time: a FLUSHALL in the stream may have taken the key away.
    const shards = shardFields(this.shards)
    out
      .begin(20 + shards.length)
      .ascii('HMSET')
      .bulk(key)
    out.ascii('source').bulk(Buffer.from(checkpoint.source))
    out.ascii('phase').ascii('stream')
    out.ascii('replid').ascii(checkpoint.replid)
    out.ascii('offset').integer(this.nextReplOffset)
    out.ascii('db').integer(this.sourceDb)
    out.ascii('shift').integer(checkpoint.shiftMs)
    out.ascii('empty').ascii(checkpoint.targetWasEmpty ? '1' : '0')
    out.ascii('owner').ascii(checkpoint.owner)
    out.ascii('epoch').integer(checkpoint.epoch)
    for (const each of shards) out.bulk(Buffer.from(each))
    out.raw(EXEC)
    this.expectedReplies = 1 + this.frameCount + extra + 1
    this.isClosed = true
  }

  /** As it was before `close`, without the frames refused: to be closed and sent again. */
  reopen(without: ReadonlySet<number>): void {
    const old = Buffer.from(this.out.view())
    const starts = this.frameStart.slice(0, this.frameCount)
    const commands = this.frameCommand.slice(0, this.frameCount)
    const count = this.frameCount
    const nextCommand = this.#nextCommand
    const { attempt, sourceCommands, hasScript } = this
    this.reset()
    this.attempt = attempt
    this.hasScript = hasScript
    this.sourceCommands = sourceCommands
    this.#nextCommand = nextCommand
    for (let i = 0; i < count; i += 1) {
      if (without.has(i)) continue
      this.beginFrame()
      this.frameCommand[this.frameCount - 1] = commands[i]!
      const from = starts[i]!
      const until = i + 1 < count ? starts[i + 1]! : frameEnd(old, from)
      this.out.raw(old, from, until)
      if (argumentText(old, from, 0) === 'SELECT')
        this.targetDb = Number(argumentText(old, from, 1))
    }
  }

  onError(reply: number, element: number, text: Uint8Array): void {
    const line = Buffer.from(text).toString('utf8')
    const queued = element < 0
    const frame = queued ? reply - 1 : element
    const isFrame = frame >= 0 && frame < this.frameCount
    this.errors.push({ frame: isFrame ? frame : -1, queued, text: line })
  }

  /** The frame stands for a command that was counted, by its number. */
  beginFrameOf(command: number, replOffset: number, stream: number): void {
    this.beginFrame()
    const frame = this.frameCount - 1
    this.frameCommand[frame] = command
    this.frameReplOffset[frame] = replOffset
    this.frameStream[frame] = stream
  }

  /** The byte behind a frame. */
  endOfFrame(frame: number): number {
    return frame + 1 < this.frameCount ? this.frameStart[frame + 1]! : this.out.length
  }

  /** Printable name and first argument of a frame. */
  describe(frame: number): { command: string; key: string } {
    const at = this.frameStart[frame]!
    const command = argumentText(this.out.bytes, at, 0)
    const keyAt = /^(XGROUP|BITOP|OBJECT)$/i.test(command) ? 2 : 1
    return { command: command.toUpperCase(), key: argumentText(this.out.bytes, at, keyAt) }
  }

  /** The target's db in which a frame works. */
  dbOfFrame(frame: number): number {
    let db: number = CHECKPOINT_DB
    for (let i = 0; i <= frame; i += 1) {
      const at = this.frameStart[i]!
      if (argumentText(this.out.bytes, at, 0) === 'SELECT') {
        db = Number(argumentText(this.out.bytes, at, 1))
      }
    }
    return db
  }
}

function twice(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const next = new Int32Array(2 * array.length)
  next.set(array)
  return next
}
