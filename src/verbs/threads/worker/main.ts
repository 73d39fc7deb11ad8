/**
 * A thread that reads pieces of a dump, made into one text by build.mjs. It reads them from the file by
 * itself, into memory of a kernel of its own, as the one that cut them would.
 */
import { readSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import { RdbParser } from '../../../rdb/parser.js'
import {
  CONTROL,
  MOST_PARTS,
  PART_BYTES,
  type FromWorker,
  type PieceJob,
  type ToWorker,
  type WorkerStart,
} from '../options.js'
import { analysisMaker } from './analysis.js'
import { checkMaker } from './check.js'
import { digestMaker } from './digest.js'
import { exportMaker } from './export.js'
import type { PieceMaker } from './maker.js'

const start = workerData as WorkerStart
const control = new Int32Array(start.control)
const output = new Uint8Array(start.output)
let sent = 0

class Stopped extends Error {}

function tell(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  start.port.postMessage(message, transfer)
}

/** Waits where the other side is behind. */
function send(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += PART_BYTES) {
    for (;;) {
      if (Atomics.load(control, CONTROL.STOP) !== 0) throw new Stopped()
      const taken = Atomics.load(control, CONTROL.TAKEN)
      if (sent - taken < MOST_PARTS) break
      Atomics.wait(control, CONTROL.TAKEN, taken)
    }
    const part = bytes.subarray(at, at + PART_BYTES)
    output.set(part, (sent % MOST_PARTS) * PART_BYTES)
    sent += 1
    tell({ kind: 'part', bytes: part.length })
  }
}

function make(maker: PieceMaker, { piece }: Extract<ToWorker, { kind: 'piece' }>): void {
  const { from, to } = piece
  const making = maker.begin(send, piece)
  const { visitor, walkBlobs, validation } = making
  const { timeShiftMs } = start
  const common = {
    checksum: 'ignore',
    timeShiftMs,
    walkBlobs,
    lane: visitor.lane,
    ...validation,
  } as const
  new RdbParser(visitor, common).push(start.head)
  const parser = new RdbParser(visitor, { ...common, startAt: from })
  const { input } = maker
  for (let at = from.byteOffset; at < to;) {
    const count = readSync(start.fd, input, 0, Math.min(input.length, to - at), at)
    if (count === 0) throw new Error('the file has become shorter')
    parser.push(input.subarray(0, count))
    at += count
    making.drain()
  }
  if (!parser.endBetweenRecords()) throw new Error('the piece ends within a record')
  const { tally, names } = making.finish()
  const transfer = names === undefined ? [] : [names.buffer]
  tell({ kind: 'done', notices: parser.notices, tally, names }, transfer)
}

const maker = makerOf(start.job)

function makerOf(job: PieceJob): PieceMaker {
  switch (job.kind) {
    case 'export':
      return exportMaker(start, job)
    case 'digest':
      return digestMaker(start, job)
    case 'check':
      return checkMaker(start)
    case 'analysis':
      return analysisMaker(start, job)
  }
}

start.port.on('message', (message: ToWorker) => {
  if (message.kind === 'end') {
    const sums = maker.sums()
    tell({ kind: 'sums', sums }, sums === undefined ? [] : [sums.buffer])
    return
  }
  try {
    make(maker, message)
  } catch (error) {
    if (error instanceof Stopped) return
    tell({ kind: 'failed', message: error instanceof Error ? error.message : String(error) })
  }
})
