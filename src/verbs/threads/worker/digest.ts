/** Digests of keys, added up by the names of keys: the sums of a comparison. */
import { Buffer } from 'node:buffer'
import { DigestKernel } from '../../../analyze/digest-kernel.js'
import { KeyDigests } from '../../../analyze/value-digest.js'
import { compileKeyFilter, wantsKey } from '../../../source/key-filter.js'
import type { DigestJob, WorkerStart } from '../options.js'
import type { PieceMaker } from './maker.js'

export function digestMaker({ readBytes }: WorkerStart, job: DigestJob): PieceMaker {
  const { secret, shiftMs, nowMs } = job
  const kernel = new DigestKernel(readBytes, secret)
  const filter = compileKeyFilter(job.filter)
  const sums = kernel.sums.a
  const visitor = new KeyDigests({
    kernel,
    shiftMs,
    wanted: filter.passesAll
      ? undefined
      : (header, expireAtMs) => wantsKey(filter, header, nowMs, expireAtMs),
    to: sums,
  })
  return {
    input: kernel.input,
    begin: () => ({ visitor, walkBlobs: false, drain: nothing, finish: () => ({}) }),
    sums: () => new Uint8Array(Buffer.from(sums)),
  }
}

function nothing(): void {
  // Nothing is held.
}
