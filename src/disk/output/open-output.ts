/**
 * Where the data of a command goes: a file that appears whole or not at all, or something that
 * takes bytes as they come (a pipe, a device, standard output). One door for all commands, so that
 * what a path leads to is treated alike by each.
 *
 * Two kinds of writer: one that can be told to wait (`drain`, between its chunks of input), and one
 * that cannot (`neverWaits`: the link of a master): then what the output does not take yet is
 * queued, in memory and then on disk.
 */
import { dirname } from 'node:path'
import { tmpdir } from 'node:os'
import type { Writable } from 'node:stream'
import { FileError } from '../../errors.js'
import { createCompressor, type Compression } from '../compression.js'
import { FileOutput } from './file-output.js'
import { placeOf } from '../place.js'
import { QueuedOutput, type Packer } from './queued-output.js'
import { openNode } from './node-stream.js'
import type { Output, OutputOptions } from './output.js'
import { StreamOutput } from './stream-output.js'

/** `target`: a path, or a stream, which is not ended. Rejects with FileError, UsageError (no such
 * compression here) or AbortedError. */
export async function openOutput(
  target: string | Writable,
  options: OutputOptions = {},
): Promise<Output> {
  const { compress } = options
  // Before a file is made: a missing zstd leaves no trace.
  if (compress !== undefined) createCompressor(compress).destroy()
  if (typeof target !== 'string') {
    return queued(StreamOutput.over(target, options), tmpdir(), options)
  }
  if (target === '') {
    throw new FileError('ERR_CANNOT_WRITE', 'the name of the output file is empty')
  }
  const place = placeOf(target)
  if (place.kind === 'file') {
    const file = new FileOutput(place.path, { direct: options.direct === true && !compress })
    return packedOutput(file, packersOf(compress), dirname(place.path))
  }
  const node = await openNode(place, target, options)
  return queued(StreamOutput.owning(node, target, options), tmpdir(), options)
}

/** The same with packers in front, if any are wanted, or with a queue where it may be slow. */
export function packedOutput(
  output: Output,
  packers: readonly Packer[],
  spoolDirectory: string,
  { isQueued = false } = {},
): Output {
  if (packers.length === 0 && !isQueued) return output
  return new QueuedOutput(output, packers, spoolDirectory)
}

export function packersOf(compress: Compression | undefined): readonly Packer[] {
  return compress === undefined ? [] : [() => createCompressor(compress)]
}

function queued(output: Output, directory: string, options: OutputOptions): Output {
  const isQueued = options.neverWaits === true
  return packedOutput(output, packersOf(options.compress), directory, { isQueued })
}
