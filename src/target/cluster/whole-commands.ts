/**
 * Commands that concern several slots, each alone: all in front of it is in the target, and nothing behind
 * it is begun. What is done of one is seen in the slots' checkpoints, so that it can be ended by who comes
 * after a break: what it writes from is changed last.
 *
 *   without keys   at every master: FUNCTION, SCRIPT; FLUSHALL together with the checkpoint
 *   with keys      operands of other slots are copied beside the destination for the length of a
 *                  transaction; what moves (RENAME, LMOVE, SMOVE) is written there, then taken away here
 */
import { Buffer } from 'node:buffer'
import { printable } from '../../bytes/printable.js'
import { keySlot } from '../../topology/key-slot.js'
import { checkpointCommand, type Checkpoint } from '../checkpoint.js'
import type { Ledger } from '../ledger.js'
import { errorKind, ReplyError, replyText, type Reply } from '../server/reply-reader.js'
import type { WholeCommand } from './frame-router.js'
import { atPlace, type Place } from './place-keeper.js'
import type { Args, NodeSet } from './node-set.js'
import type { SlotCheckpoints } from './slot-checkpoints.js'

export interface WholeCommandsOptions {
  checkpointKey: Buffer
  ledger: Ledger
  hasExpireTime: boolean
}

const STORES =
  /^(SDIFFSTORE|SINTERSTORE|SUNIONSTORE|ZDIFFSTORE|ZINTERSTORE|ZUNIONSTORE|ZRANGESTORE|GEOSEARCHSTORE|PFMERGE)$/
/** The key that is written is the last one that is named. */
const STORES_LAST = /^(SORT|GEORADIUS|GEORADIUSBYMEMBER)$/

export class WholeCommands {
  readonly #nodes: NodeSet
  readonly #slots: SlotCheckpoints
  readonly #options: WholeCommandsOptions

  constructor(nodes: NodeSet, slots: SlotCheckpoints, options: WholeCommandsOptions) {
    this.#nodes = nodes
    this.#slots = slots
    this.#options = options
  }

  /** @param place where the stream can be begun again */
  async run(command: WholeCommand, checkpoint: Checkpoint, place: Place): Promise<void> {
    const { ledger } = this.#options
    const { name, kind, replOffset } = command
    const from = atPlace(checkpoint, place)
    let failure: string | undefined
    if (kind === 'slots') failure = await this.#overSlots(command)
    else if (this.#slots.hasStreams || replOffset > this.#slots.mark.keyless) {
      if (name === 'FLUSHALL' || name === 'FLUSHDB') await this.#flush(command, from)
      else failure = await this.#everywhere(command, from)
    }
    if (failure === undefined) {
      ledger.commands.written += 1
      return
    }
    ledger.commands.failed += 1
    const key = command.keys.length === 0 ? '' : printable(command.args[command.keys[0]!]!)
    ledger.name({ db: 0, key, type: '', command: name, reason: printable(Buffer.from(failure)) })
  }

  /** A FLUSHALL that was begun is ended. */
  async endFlush(checkpoint: Checkpoint): Promise<void> {
    const { mark } = this.#slots
    if (mark.pending < 0) return
    await this.#flushFrom(mark.pending, checkpoint, ['FLUSHALL'])
  }

  /** All slots are where it stands in the stream: that is said before, so that it can be ended later. */
  async #flush({ args, replOffset }: WholeCommand, from: Checkpoint): Promise<void> {
    this.#slots.mark = { ...this.#slots.mark, pending: replOffset }
    await this.#slots.writeMark(from)
    await this.#flushFrom(replOffset, from, args)
  }

  /** The master that has the checkpoint comes last, and gets both in one transaction. */
  async #flushFrom(replOffset: number, from: Checkpoint, flush: Args): Promise<void> {
    const { map } = this.#nodes
    const markSlot = keySlot(this.#options.checkpointKey)
    for (const index of map.owners()) {
      if (index === map.owner[markSlot]) continue
      await this.#nodes.onNode(index, async (connection) => {
        await connection.expect(...flush)
      })
    }
    this.#slots.flushed(replOffset)
    this.#slots.mark = { ...this.#slots.mark, keyless: replOffset }
    const checkpoint = this.#slots.markOf(from)
    await this.#nodes.callAt(
      markSlot,
      ['MULTI'],
      flush,
      checkpointCommand(this.#options.checkpointKey, checkpoint),
      ['EXEC'],
    )
    await this.#slots.untilReplicated()
  }

  /** Functions and scripts: once more does no harm. */
  async #everywhere(command: WholeCommand, from: Checkpoint): Promise<string | undefined> {
    const { name, replOffset } = command
    const args = command.args.map(String)
    const [, verb = ''] = args.map((each) => each.toUpperCase())
    const isLoad = name === 'FUNCTION' && verb === 'LOAD'
    const hasReplace = args.slice(2, -1).some((each) => each.toUpperCase() === 'REPLACE')
    const sent: Args =
      isLoad && !hasReplace
        ? [...command.args.slice(0, 2), 'REPLACE', ...command.args.slice(2)]
        : command.args
    let failure: string | undefined
    for (const index of this.#nodes.map.owners()) {
      await this.#nodes.onNode(index, async (connection) => {
        const reply = await connection.call(...sent)
        if (!(reply instanceof ReplyError)) return
        const isGone = verb === 'DELETE' && /not found/i.test(reply.text)
        if (!isGone) failure = reply.text
      })
    }
    this.#slots.mark = { ...this.#slots.mark, keyless: replOffset }
    await this.#slots.untilReplicated()
    await this.#slots.writeMark(from)
    return failure
  }

  /** Undefined: done. */
  async #overSlots(command: WholeCommand): Promise<string | undefined> {
    const { name, args, keys } = command
    const [first, second] = keys
    switch (name) {
      case 'RENAME':
      case 'RENAMENX':
        return await this.#copied(command, args[1]!, args[2]!, true)
      case 'COPY':
        return await this.#copied(command, args[1]!, args[2]!, false)
      case 'LMOVE':
        return await this.#listMoved(
          command,
          String(args[3]).toUpperCase(),
          String(args[4]).toUpperCase(),
        )
      case 'RPOPLPUSH':
        return await this.#listMoved(command, 'RIGHT', 'LEFT')
      case 'SMOVE':
        return await this.#moved(command, args[1]!, args[2]!, () =>
          Promise.resolve([
            ['SADD', args[2]!, args[3]!],
            ['SREM', args[1]!, args[3]!],
          ]),
        )
      default:
        if (STORES.test(name)) return await this.#stored(command, first!)
        if (name === 'BITOP' && second !== undefined) return await this.#stored(command, 2)
        if (STORES_LAST.test(name)) return await this.#stored(command, keys.at(-1)!)
        return `${name} with keys in several slots of the target`
    }
  }

  /** The value under another name, and its time. */
  async #copied(
    command: WholeCommand,
    from: Buffer,
    to: Buffer,
    isMoved: boolean,
  ): Promise<string | undefined> {
    return await this.#moved(command, from, to, async () => {
      const slot = keySlot(from)
      const [[payload], [time]] = await Promise.all([
        this.#nodes.callAt(slot, ['DUMP', from]),
        this.#nodes.callAt(slot, [this.#options.hasExpireTime ? 'PEXPIRETIME' : 'PTTL', from]),
      ])
      if (!Buffer.isBuffer(payload)) return undefined
      const ttl = typeof time === 'number' && time > 0 ? time : 0
      const absolute = this.#options.hasExpireTime && ttl > 0 ? ['ABSTTL'] : []
      const restore = ['RESTORE', to, String(ttl), payload, 'REPLACE', ...absolute]
      return [restore, isMoved ? ['DEL', from] : undefined]
    })
  }

  async #listMoved(command: WholeCommand, from: string, to: string): Promise<string | undefined> {
    const [, source, target] = command.args as readonly [Buffer, Buffer, Buffer]
    return await this.#moved(command, source, target, async () => {
      const index = from === 'LEFT' ? '0' : '-1'
      const [element] = await this.#nodes.callAt(keySlot(source), ['LINDEX', source, index])
      if (!Buffer.isBuffer(element)) return undefined
      return [
        [to === 'LEFT' ? 'LPUSH' : 'RPUSH', target, element],
        [from === 'LEFT' ? 'LPOP' : 'RPOP', source],
      ]
    })
  }

  /** There, then away here: as long as the second is not done, the first can be made again. */
  async #moved(
    { replOffset }: WholeCommand,
    from: Buffer,
    to: Buffer,
    make: () => Promise<readonly [there: Args, here: Args | undefined] | undefined>,
  ): Promise<string | undefined> {
    if (
      this.#slots.isApplied(keySlot(from), replOffset) &&
      this.#slots.isApplied(keySlot(to), replOffset)
    ) {
      return undefined
    }
    const made = await make()
    if (made === undefined) return 'no such key'
    const [there, here] = made
    if (!this.#slots.isApplied(keySlot(to), replOffset)) {
      const failure = await this.#transact(keySlot(to), [there], replOffset)
      if (failure !== undefined) return failure
    }
    if (here === undefined) return undefined
    return await this.#transact(keySlot(from), [here], replOffset)
  }

  /** The command where its result is, with copies of what it reads elsewhere. `at`: the result's key. */
  async #stored(command: WholeCommand, at: number): Promise<string | undefined> {
    const { args, keys, replOffset } = command
    const slot = keySlot(args[at]!)
    if (this.#slots.isApplied(slot, replOffset)) return undefined
    const copies: Args[] = []
    const scratch: Buffer[] = []
    const sent: Buffer[] = [...args]
    for (const i of keys) {
      const key = args[i]!
      if (keySlot(key) === slot) continue
      const [payload] = await this.#nodes.callAt(keySlot(key), ['DUMP', key])
      const name = this.#slots.keys.scratch(slot, i)
      sent[i] = name
      scratch.push(name)
      if (Buffer.isBuffer(payload)) copies.push(['RESTORE', name, '0', payload, 'REPLACE'])
      else copies.push(['DEL', name])
    }
    return await this.#transact(slot, [...copies, sent, ['DEL', ...scratch]], replOffset)
  }

  /** With the slot's checkpoint. Undefined: done; else why not, and then nothing was. */
  async #transact(
    slot: number,
    commands: readonly Args[],
    replOffset: number,
  ): Promise<string | undefined> {
    const field = this.#slots.fields[0]!
    const checkpoint = ['HSET', this.#slots.keys.key(slot), field, String(replOffset)]
    const replies = await this.#nodes.callAt(slot, ['MULTI'], ...commands, checkpoint, ['EXEC'])
    const refusal = replies.find(
      (reply): reply is ReplyError =>
        reply instanceof ReplyError && errorKind(reply.text) !== 'EXECABORT',
    )
    if (refusal !== undefined) return refusal.text
    this.#slots.confirm(slot, 0, replOffset)
    return failureIn(replies.at(-1))
  }
}

/** Of what was executed. */
function failureIn(reply: Reply | undefined): string | undefined {
  if (!Array.isArray(reply)) return reply === undefined ? 'no answer' : replyText(reply)
  const failed = (reply as readonly Reply[]).find((each) => each instanceof ReplyError)
  return failed?.text
}
