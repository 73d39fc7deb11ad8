/**
 * Puts keys right that hold writes which a failover lost, without a new load.
 *
 * All of them are asked of the new master in one transaction, which also tells its offset: so what
 * comes is their state exactly there. Commands up to that offset which touch them are left out, and
 * at the offset they are written anew. A key that shares a command with one of them joins them. A run
 * that is killed in between begins the same again: which keys it was is in the spool before anything
 * is taken back.
 */
import { Buffer } from 'node:buffer'
import { LinkError, ProtocolError } from '../../../errors.js'
import { ControlClient } from '../../../net/control.js'
import type { ServerSettings } from '../../../net/server-settings.js'
import type { CommandTable } from '../../../resp/command-table.js'
import type { CommandDecoder } from '../../../resp/decoder.js'
import { TouchedKeys, widenKeys, type KeySet } from './lost-keys.js'
import type { StreamSpool } from './stream-spool.js'

export interface RepairOptions {
  source: ServerSettings
  signal: AbortSignal | undefined
  spool: StreamSpool
  table: CommandTable
  /** Keeps the keys where more join them. Default: they are all that the spool keeps. */
  keep?: () => void
}

/** As it is on the new master; no payload: it is not there. */
interface Row {
  db: number
  key: Buffer
  payload: Buffer | undefined
  /** Unix ms, or -1. */
  expireAtMs: number
}

export class Repair {
  readonly keys: KeySet
  readonly #options: RepairOptions
  readonly #touched: TouchedKeys
  #rows: readonly Row[] | undefined
  /** Last stream byte that the rows hold. */
  #replOffset = Infinity
  #isReady = false

  constructor(keys: KeySet, options: RepairOptions) {
    this.keys = keys
    this.#options = options
    this.#touched = new TouchedKeys(options.table)
  }

  get isReady(): boolean {
    return this.#isReady
  }

  /** To be asked before anything is applied from `nextReplOffset` on; false: not yet, ask again. */
  async prepare(nextReplOffset: number, dbnum: number): Promise<boolean> {
    const { spool, table } = this.#options
    if (this.#isReady) return true
    try {
      if (this.#rows === undefined) await this.#ask()
    } catch (error) {
      if (error instanceof LinkError && error.retriable) return false
      throw error
    }
    const toReplOffset = this.#replOffset
    if (spool.nextReplOffset <= toReplOffset) return false
    const part = { fromReplOffset: nextReplOffset, toReplOffset, dbnum }
    if (widenKeys(spool, part, table, this.keys) > 0) {
      this.#rows = undefined
      const { keep } = this.#options
      if (keep === undefined) spool.setRepair({ ...spool.state.repair!, keys: this.keys.kept })
      else keep()
      return false
    }
    this.#isReady = true
    return true
  }

  /** Everything up to the state of the rows is applied. */
  isDue(nextReplOffset: number): boolean {
    return this.#isReady && nextReplOffset > this.#replOffset
  }

  /** The command is in what the rows hold. */
  leavesOut(command: CommandDecoder, db: number): boolean {
    this.#touched.find(command, db)
    return this.#touched.found.some(([at, name]) => this.keys.has(at, name))
  }

  /** Commands that write the keys anew, with their databases. */
  *commands(): Generator<{ db: number; args: readonly (string | Buffer)[] }> {
    for (const { db, key, payload, expireAtMs } of this.#rows ?? []) {
      if (payload === undefined) {
        yield { db, args: ['DEL', key] }
        continue
      }
      const at = expireAtMs < 0 ? ['0'] : [String(expireAtMs)]
      const options = expireAtMs < 0 ? ['REPLACE'] : ['REPLACE', 'ABSTTL']
      yield { db, args: ['RESTORE', key, ...at, payload, ...options] }
    }
  }

  async #ask(): Promise<void> {
    const { source, signal } = this.#options
    const client = await ControlClient.open(source, signal)
    try {
      const version = Number.parseInt((await client.info('server')).get('redis_version') ?? '0', 10)
      const ask = version >= 7 ? 'PEXPIRETIME' : 'PTTL'
      const names = [...this.keys].sort(([a], [b]) => a - b)
      const queued: Promise<unknown>[] = [client.call('MULTI'), client.call('TIME')]
      let selected = -1
      for (const [db, name] of names) {
        const key = Buffer.from(name, 'latin1')
        if (db !== selected) queued.push(client.call('SELECT', String(db)))
        selected = db
        queued.push(client.callBuffer(ask, key), client.callBuffer('DUMP', key))
      }
      queued.push(client.call('INFO', 'replication'))
      const done = client.callBuffer('EXEC')
      await Promise.all([...queued, done])
      this.#take(names, (await done) as unknown[], ask === 'PTTL')
    } finally {
      client.close()
    }
  }

  #take(names: readonly (readonly [number, string])[], replies: unknown[], isLeft: boolean): void {
    const [seconds, micros] = (replies[0] as Buffer[]).map((each) => Number(String(each)))
    const nowMs = isLeft ? Math.floor(seconds! * 1000 + micros! / 1000) : 0
    const rows: Row[] = []
    let at = 1
    let selected = -1
    for (const [db, name] of names) {
      if (db !== selected) at += 1
      selected = db
      const time = Number(replies[at])
      const payload = replies[at + 1]
      at += 2
      rows.push({
        db,
        key: Buffer.from(name, 'latin1'),
        payload: Buffer.isBuffer(payload) ? payload : undefined,
        expireAtMs: time < 0 ? -1 : nowMs + time,
      })
    }
    const info = String(replies[at])
    this.#replOffset = Number(/master_repl_offset:(\d+)/.exec(info)?.[1] ?? Number.NaN)
    if (Number.isNaN(this.#replOffset)) {
      throw new ProtocolError('ERR_PROTOCOL', 'the source does not tell its offset')
    }
    this.#rows = rows
  }
}
