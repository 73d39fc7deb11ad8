/** Where an export goes: one output, or one for each part of a dump that is split. */
import { openOutput } from '../../disk/output/open-output.js'
import type { Output } from '../../disk/output/output.js'
import { UsageError } from '../../errors.js'
import type { Slice } from '../../rdb/visitor.js'
import { keySlot } from '../../topology/key-slot.js'
import type { ExportedPart, ExportOptions } from './options.js'
import { partBySlot, partsOf, type Part } from './parts.js'

export async function openParts(options: ExportOptions): Promise<PartedOutput> {
  const { output, sink, split, compress, signal } = options
  if (sink !== undefined) return new PartedOutput([sink], [])
  if (split === undefined) {
    return new PartedOutput([await openOutput(output, { compress, signal })], [])
  }
  if (typeof output !== 'string') {
    throw new UsageError('the parts of a dump are files: a stream cannot be split')
  }
  const parts = await partsOf(split, output, signal)
  const outputs: Output[] = []
  try {
    for (const { file } of parts) outputs.push(await openOutput(file, { compress, signal }))
  } catch (error) {
    for (const each of outputs) each.discard()
    throw error
  }
  return new PartedOutput(outputs, parts)
}

export class PartedOutput {
  readonly outputs: readonly Output[]
  /** Undefined: there are no parts. */
  readonly partOf: ((key: Slice) => number) | undefined
  readonly #parts: readonly Part[]

  constructor(outputs: readonly Output[], parts: readonly Part[]) {
    this.outputs = outputs
    this.#parts = parts
    if (parts.length > 0) {
      const bySlot = partBySlot(parts)
      this.partOf = ({ bytes, start, end }) => bySlot[keySlot(bytes, start, end)]!
    }
  }

  get writtenBytes(): number {
    return this.outputs.reduce((sum, each) => sum + each.writtenBytes, 0)
  }

  drain(): Promise<void> | undefined {
    let waiting: Promise<void>[] | undefined
    for (const output of this.outputs) {
      const promise = output.drain()
      if (promise !== undefined) (waiting ??= []).push(promise)
    }
    return waiting && Promise.all(waiting).then(() => undefined)
  }

  async finish(): Promise<void> {
    for (const output of this.outputs) await output.finish()
  }

  discard(): void {
    for (const output of this.outputs) output.discard()
  }

  told(keys: readonly number[] | undefined): ExportedPart[] {
    return this.#parts.map(({ name, file }, index) => ({
      name,
      file,
      keysWritten: keys?.[index] ?? 0,
      writtenBytes: this.outputs[index]!.writtenBytes,
    }))
  }
}
