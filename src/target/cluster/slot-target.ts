/**
 * The masters of a cluster as the target of a snapshot that is read once: each key goes to whose slot it is,
 * over that master's own connections. What is written here is copied there when a key, or a row of keys,
 * is whole, or when a large one has filled the buffer.
 */
import { OutputBuffer } from '../../bytes/output-buffer.js'
import { ByteKernel } from '../../kernels/kernel.js'
import type { Slice } from '../../rdb/visitor.js'
import { CommandWriter } from '../../rewrite/command-writer.js'
import { encodeCommand } from '../../resp/encoder.js'
import { SLOT_COUNT } from '../../topology/cluster-nodes.js'
import { keySlot } from '../../topology/key-slot.js'
import type { KeyTarget } from '../key-target.js'
import type { KeyCounts } from '../ledger.js'
import type { SnapshotWriter } from '../load/snapshot-writer.js'
import { RowParts } from './row-parts.js'

export interface SlotTargetOptions {
  nodes: readonly { readonly slots: Uint8Array; readonly writer: SnapshotWriter }[]
  /** What its kernel has room for besides: for input to be read into. */
  inputBytes: number
  /** A node has failed. True: what is for it is left out from here on; else all fail. */
  mayLose?: ((error: unknown, node: number) => boolean) | undefined
}

const CHUNK_BYTES = 256 << 10

export class SlotTarget implements KeyTarget {
  readonly commands: CommandWriter
  readonly kernel: ByteKernel
  readonly #options: SlotTargetOptions
  readonly #writers: readonly SnapshotWriter[]
  /** By number of the node: it has failed. */
  readonly #lost: boolean[]
  readonly #owners = new Int16Array(SLOT_COUNT).fill(-1)
  readonly #out: OutputBuffer
  readonly #rows: RowParts
  /** Whose key is being written; -1: nobody's. */
  #node = -1
  #inKey = false
  /** Commands written when the key began. */
  #commandsBefore = 0

  constructor(options: SlotTargetOptions) {
    this.#options = options
    this.#writers = options.nodes.map(({ writer }) => writer)
    this.#lost = options.nodes.map(() => false)
    for (const [index, { slots }] of options.nodes.entries()) {
      for (let slot = 0; slot < SLOT_COUNT; slot += 1)
        if (slots[slot] === 1) this.#owners[slot] = index
    }
    this.kernel = new ByteKernel(options.inputBytes + CHUNK_BYTES)
    this.#out = new OutputBuffer(
      (bytes) => this.#pass(bytes, bytes.length),
      this.kernel.allocate(CHUNK_BYTES),
    )
    this.commands = new CommandWriter(this.#out)
    this.#rows = new RowParts(
      this.#writers.map(({ commands }) => commands.out),
      this.#owners,
    )
  }

  async open(): Promise<void> {
    await this.#each(async (writer) => await writer.open())
  }

  beginKey(db: number, check: boolean, key: Slice): void {
    this.#node = this.#owners[keySlot(key.bytes, key.start, key.end)]!
    this.#inKey = true
    this.#commandsBefore = this.commands.commands
    const writer = this.#writerAt(this.#node)
    if (writer === undefined) return
    writer.beginKey(db, check)
    this.commands.selectedDb = writer.commands.selectedDb
  }

  endKey(type: string, counts: KeyCounts): void {
    const out = this.#out
    this.#pass(out.bytes, out.pos)
    out.pos = 0
    this.#inKey = false
    const writer = this.#writerAt(this.#node)
    if (writer === undefined) return
    const { commands } = writer
    commands.commands += this.commands.commands - this.#commandsBefore
    commands.selectedDb = this.commands.selectedDb
    writer.endKey(type, counts)
  }

  addRow(
    db: number,
    _keys: number,
    check: boolean,
    counts: readonly (KeyCounts | undefined)[],
  ): void {
    const out = this.#out
    const parts = this.#rows.divide(
      out.bytes,
      out.pos,
      (node) => !this.#lost[node]!,
      (node) => select(this.#writers[node]!.commands, db),
    )
    out.pos = 0
    for (const [node, { keys, keysByType }] of parts.entries()) {
      if (keys === 0) continue
      const writer = this.#writers[node]!
      writer.commands.commands += keys
      writer.addRow(db, keys, check, counts, keysByType)
    }
  }

  drain(): Promise<void> | undefined {
    let waits: Promise<void>[] | undefined
    for (const [node, writer] of this.#writers.entries()) {
      const drained = this.#lost[node]! ? undefined : writer.drain()
      if (drained === undefined) continue
      waits ??= []
      waits.push(drained.catch((error: unknown) => this.#lose(node, error)))
    }
    return waits === undefined ? undefined : Promise.all(waits).then(() => undefined)
  }

  async flush(): Promise<void> {
    await this.#each(async (writer) => await writer.flush())
  }

  async removeMarks(): Promise<void> {
    await this.#each(async (writer) => await writer.removeMarks())
  }

  async settle(timeoutMs: number): Promise<void> {
    await Promise.all(this.#writers.map(async (writer) => await writer.settle(timeoutMs)))
  }

  close(): void {
    for (const writer of this.#writers) writer.close()
  }

  async #each(work: (writer: SnapshotWriter) => Promise<void>): Promise<void> {
    await Promise.all(
      this.#writers.map(async (writer, node) => {
        if (this.#lost[node]!) return
        await work(writer).catch((error: unknown) => this.#lose(node, error))
      }),
    )
  }

  #lose(node: number, error: unknown): void {
    if (this.#options.mayLose?.(error, node) !== true) throw error
    this.#lost[node] = true
    this.#writers[node]!.close()
  }

  #writerAt(node: number): SnapshotWriter | undefined {
    return node < 0 || this.#lost[node]! ? undefined : this.#writers[node]
  }

  /** Bytes of the key at hand. */
  #pass(bytes: Buffer, end: number): void {
    if (this.#inKey) this.#writerAt(this.#node)?.commands.out.write(bytes, 0, end)
  }
}

function select(commands: CommandWriter, db: number): void {
  if (commands.selectedDb === db) return
  commands.out.write(encodeCommand('SELECT', String(db)))
  commands.commands += 1
  commands.selectedDb = db
}
