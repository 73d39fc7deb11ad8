/**
 * Elements in, commands out: SET, RPUSH, SADD, ZADD, HSET with HPEXPIREAT. Elements are gathered
 * into commands of bounded size, so that neither this side nor the server holds a whole value;
 * one that is long alone gets a command of its own, and a string beyond `MAX_BULK_BYTES` is
 * continued with APPEND. Streams are next door, in stream-commands.ts.
 */
import { Buffer } from 'node:buffer'
import { OutputBuffer } from '../bytes/output-buffer.js'
import { writeScore } from '../rdb/values/score-text.js'
import { DEPTH, KIND, type Depth, type KeyHeader, type Kind, type Slice } from '../rdb/visitor.js'
import { bulkOf, CommandWriter, headOf } from './command-writer.js'
import type { KeyPlan } from './key-plan.js'
import { LOSS, type Loss } from '../servers/loss.js'
import type { TargetCapabilities } from '../servers/capabilities.js'

/** Servers take up to proto-max-bulk-len, 512 MB by default. */
const MAX_BULK_BYTES = 64 << 20
/** An element that would not share a command with others. */
const LONG_ELEMENT_BYTES = 1 << 16

const SET_3 = headOf(3, 'SET')
const SET_4 = headOf(4, 'SET')
const SET_5 = headOf(5, 'SET')
const SET_6 = headOf(6, 'SET')
const APPEND_3 = headOf(3, 'APPEND')
const RPUSH = bulkOf('RPUSH')
const RPUSH_3 = headOf(3, 'RPUSH')
const SADD = bulkOf('SADD')
const SADD_3 = headOf(3, 'SADD')
const ZADD = bulkOf('ZADD')
const ZADD_4 = headOf(4, 'ZADD')
const HSET = bulkOf('HSET')
const HSET_4 = headOf(4, 'HSET')
const HMSET = bulkOf('HMSET')
const HMSET_4 = headOf(4, 'HMSET')
const HPEXPIREAT_6 = headOf(6, 'HPEXPIREAT')
const FIELDS = bulkOf('FIELDS')
const ONE = bulkOf('1')
const PXAT = bulkOf('PXAT')
const NX = bulkOf('NX')
const NEGATIVE_ZERO = bulkOf('-0')
const ZERO = bulkOf('0')
const ZREM_3 = headOf(3, 'ZREM')
/** Longer than any sensible zset-max-listpack-value (64 by default). */
const LONG_MEMBER = bulkOf('rrep:'.padEnd(4096, '-'))
/** By then a sorted set is a skiplist. */
const MAX_LAST_BYTES = 1 << 20

const SCORE_TEXT_MAX_BYTES = 40

export type OnLoss = (loss: Loss) => void

export class ElementCommands {
  protected plan!: KeyPlan
  protected readonly target: TargetCapabilities
  protected readonly onLoss: OnLoss
  readonly #hset: Uint8Array
  readonly #hset4: Uint8Array
  /** HPEXPIREAT commands that wait for the end of the HSET before them. */
  readonly #expiries: CommandWriter
  /** Commands that wait for the end of the value. */
  readonly #last: CommandWriter
  readonly #scoreText = Buffer.allocUnsafeSlow(SCORE_TEXT_MAX_BYTES)
  /** Of a string in parts: bytes behind the bulk at hand, and bytes that it still wants. */
  #stringLeft = 0
  #bulkLeft = 0
  #inSet = false
  #wroteExpiry = false
  #isPacked = false
  #forcedSkiplist = false

  constructor(target: TargetCapabilities, onLoss: OnLoss) {
    this.target = target
    this.onLoss = onLoss
    this.#hset = target.variadicHset ? HSET : HMSET
    this.#hset4 = target.variadicHset ? HSET_4 : HMSET_4
    this.#expiries = deferredWriter()
    this.#last = deferredWriter()
  }

  /** As a visitor of its own it wants every element. */
  key(): Depth {
    return DEPTH.ELEMENTS
  }

  begin(plan: KeyPlan, header: KeyHeader): void {
    this.plan = plan
    this.#isPacked = header.type.encoding === 'ziplist' || header.type.encoding === 'listpack'
    this.#forcedSkiplist = false
    this.#wroteExpiry = false
  }

  /** Ends what is open. Returns whether the expiry has been written with the value. */
  finish(): boolean {
    this.closeBatch()
    if (this.#forcedSkiplist) {
      this.#lastCommand(ZREM_3)
      this.#last.constant(LONG_MEMBER)
    }
    this.#writeDeferred(this.#last)
    return this.#wroteExpiry
  }

  stringValue(value: Slice): void {
    const length = value.end - value.start
    if (length > MAX_BULK_BYTES) {
      this.stringBegin(length)
      this.stringPart(value)
      return
    }
    const { conflict, expireAtMs, key, writer } = this.plan
    const timed = this.target.setPxat && expireAtMs !== -1
    const refuse = conflict === 'refuse'
    const head = timed ? (refuse ? SET_6 : SET_5) : refuse ? SET_4 : SET_3
    writer.beginWithTwo(head, key, value)
    if (timed || refuse) this.#endSet(timed)
  }

  stringBegin(totalBytes: number): void {
    this.#stringLeft = totalBytes
    this.#bulkLeft = Math.min(totalBytes, MAX_BULK_BYTES)
    this.#stringLeft -= this.#bulkLeft
    const { conflict, key, writer } = this.plan
    writer.begin(conflict === 'refuse' ? SET_4 : SET_3)
    writer.bulk(key.bytes, key.start, key.end)
    this.#inSet = true
    writer.bulkStart(this.#bulkLeft)
    if (totalBytes === 0) this.#endBulk()
  }

  stringPart(part: Slice): void {
    const { writer, key } = this.plan
    let from = part.start
    while (from < part.end) {
      if (this.#bulkLeft === 0) {
        this.#bulkLeft = Math.min(this.#stringLeft, MAX_BULK_BYTES)
        this.#stringLeft -= this.#bulkLeft
        writer.begin(APPEND_3)
        writer.bulk(key.bytes, key.start, key.end)
        writer.bulkStart(this.#bulkLeft)
      }
      const until = Math.min(part.end, from + this.#bulkLeft)
      writer.out.write(part.bytes, from, until)
      this.#bulkLeft -= until - from
      from = until
      if (this.#bulkLeft === 0) this.#endBulk()
    }
  }

  listElement(element: Slice): void {
    this.#addOne(RPUSH, RPUSH_3, element)
  }

  setMember(member: Slice): void {
    this.#addOne(SADD, SADD_3, member)
  }

  zsetMember(member: Slice, score: number, scoreText: Slice): void {
    if (score === 0 && Object.is(score, -0)) {
      this.#negativeZero(member)
      return
    }
    const { writer } = this.plan
    const long = member.end - member.start > LONG_ELEMENT_BYTES
    if (long) this.beginAlone(ZADD_4)
    else this.#continueWith(ZADD)
    if (scoreText.end > scoreText.start) {
      writer.bulk(scoreText.bytes, scoreText.start, scoreText.end)
    } else if (Number.isSafeInteger(score)) {
      writer.decimal(score)
    } else {
      writer.bulk(this.#scoreText, 0, writeScore(this.#scoreText, 0, score))
    }
    writer.bulk(member.bytes, member.start, member.end)
  }

  hashField(field: Slice, value: Slice, expireAtMs: number): void {
    const { writer } = this.plan
    const long = field.end - field.start + value.end - value.start > LONG_ELEMENT_BYTES
    if (long) this.beginAlone(this.#hset4)
    else this.#continueWith(this.#hset)
    writer.bulk(field.bytes, field.start, field.end)
    writer.bulk(value.bytes, value.start, value.end)
    if (expireAtMs !== -1) this.#fieldExpiry(field, expireAtMs)
    if (long) this.#writeDeferred(this.#expiries)
  }

  /**
   * Servers write -0 into a listpack as 0, a skiplist keeps it. A sorted set that is going to be a
   * skiplist begins as a listpack all the same: its scores of -0 go last. And a packed one that
   * has the score (a ziplist could) is made a skiplist by a member too long for anything else,
   * which goes again.
   */
  #negativeZero(member: Slice): void {
    const { plan } = this
    const last = this.#last
    if (this.#isPacked && !this.#forcedSkiplist) {
      this.#forcedSkiplist = true
      this.#lastCommand(ZADD_4)
      last.constant(ZERO)
      last.constant(LONG_MEMBER)
    }
    this.#lastCommand(ZADD_4)
    last.constant(NEGATIVE_ZERO)
    last.bulk(member.bytes, member.start, member.end)
    if (last.out.pos > MAX_LAST_BYTES) {
      plan.writer.close()
      this.#writeDeferred(last)
    }
  }

  #lastCommand(head: Uint8Array): void {
    const { plan } = this
    const last = this.#last
    last.begin(head)
    last.bulk(plan.key.bytes, plan.key.start, plan.key.end)
  }

  #addOne(name: Uint8Array, alone: Uint8Array, element: Slice): void {
    if (element.end - element.start > LONG_ELEMENT_BYTES) this.beginAlone(alone)
    else this.#continueWith(name)
    this.plan.writer.bulk(element.bytes, element.start, element.end)
  }

  /** A command for one element; its size is no concern of the buffer's. */
  protected beginAlone(head: Uint8Array): void {
    const { writer, key } = this.plan
    this.closeBatch()
    writer.begin(head)
    writer.bulk(key.bytes, key.start, key.end)
  }

  get keyBytes(): number {
    const { key } = this.plan
    return key.end - key.start
  }

  /** The command for the next element of a list, set, sorted set or hash: true if it is a new one. */
  openFor(kind: Kind): boolean {
    switch (kind) {
      case KIND.LIST:
        return this.#continueWith(RPUSH)
      case KIND.SET:
        return this.#continueWith(SADD)
      case KIND.ZSET:
        return this.#continueWith(ZADD)
      default:
        return this.#continueWith(this.#hset)
    }
  }

  /** Goes on with the open command, or begins the next: then true. */
  #continueWith(name: Uint8Array): boolean {
    const { writer, key } = this.plan
    if (writer.isOpen) {
      if (!writer.isFull) return false
      this.closeBatch()
    }
    writer.open(name)
    writer.bulk(key.bytes, key.start, key.end)
    return true
  }

  protected closeBatch(): void {
    this.plan.writer.close()
    this.#writeDeferred(this.#expiries)
  }

  #fieldExpiry(field: Slice, expireAtMs: number): void {
    if (!this.target.fieldExpiry) {
      this.onLoss(LOSS.FIELD_EXPIRY)
      return
    }
    const { plan } = this
    const expiries = this.#expiries
    expiries.begin(HPEXPIREAT_6)
    expiries.bulk(plan.key.bytes, plan.key.start, plan.key.end)
    expiries.decimal(expireAtMs)
    expiries.constant(FIELDS)
    expiries.constant(ONE)
    expiries.bulk(field.bytes, field.start, field.end)
  }

  #writeDeferred(deferred: CommandWriter): void {
    const { out, commands } = deferred
    if (commands === 0) return
    const { writer } = this.plan
    writer.out.write(out.bytes, 0, out.pos)
    writer.commands += commands
    deferred.commands = 0
    out.drop()
    out.hold()
  }

  #endSet(withExpiry: boolean): void {
    const { writer, expireAtMs, conflict } = this.plan
    if (conflict === 'refuse') writer.constant(NX)
    if (withExpiry && expireAtMs !== -1) {
      writer.constant(PXAT)
      // SET takes no time below 1; anything that early is past anyway.
      writer.decimal(Math.max(1, expireAtMs))
      this.#wroteExpiry = true
    }
  }

  #endBulk(): void {
    this.plan.writer.bulkEnd()
    if (this.#inSet) this.#endSet(false)
    this.#inSet = false
  }
}

/** Keeps what is written to it: nothing is ever flushed. */
function deferredWriter(): CommandWriter {
  const writer = new CommandWriter(new OutputBuffer(() => undefined, 1 << 14))
  writer.out.hold()
  return writer
}
