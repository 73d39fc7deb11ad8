/**
 * What threads bring: `export` to JSON and `diff` of a file with itself, by one and by two; and by stages, in
 * CPU time, what more cores would: the thread that reads cuts pieces and runs the checksum, which none can
 * share, so n threads take no less than that, nor less than an nth of the rest. RREP_BENCH_THREADS=D
 * takes one file.
 */
import { openSync, closeSync, readSync } from 'node:fs'
import { allocateInputBuffer } from '../../src/kernels/kernel.js'
import { RdbParser } from '../../src/rdb/parser.js'
import { Borders } from '../../src/verbs/threads/borders.js'
import { alone, benchData, pairwise, RREP } from './harness.js'

const READ_BYTES = 1 << 20
const MORE = [2, 4, 8]

export async function run(): Promise<void> {
  for (const kind of ['A', 'B', 'C', 'D'] as const) {
    if ((process.env['RREP_BENCH_THREADS'] ?? kind) !== kind) continue
    const file = await benchData(kind)
    const cutMs = Math.min(...[1, 2, 3].map(() => cut(file)))
    console.log(`${kind}: cut and summed in ${cutMs.toFixed(0)} ms of CPU`)
    const calls: readonly [string, readonly string[], boolean][] = [
      ['export jsonl', ['export', file], true],
      ['export jsonl base64', ['export', file, '--strings', 'base64'], true],
      ['diff', ['diff', file, file], true],
      ['inspect', ['inspect', file], true],
      ['inspect --check', ['inspect', file, '--check'], true],
      ['export csv', ['export', file, '--format', 'csv'], true],
      ['export resp', ['export', file, '--format', 'resp'], true],
      ['export rdb', ['export', file, '--format', 'rdb'], false],
    ]
    for (const [name, args, hasThreads] of calls) {
      const one = { name: 'one', argv: [...RREP, ...args, '-q'] }
      const { cpuMs } = hasThreads
        ? (
            await pairwise(
              `${kind}: ${name}`,
              { name: 'two', argv: [...one.argv, '--threads', '2'] },
              one,
              { runs: 3 },
            )
          ).theirs
        : await alone(`${kind}: ${name}`, one, 3)
      const serial = name === 'diff' ? 2 * cutMs : cutMs
      const share = serial / cpuMs
      const gains = MORE.map((n) => `${n}: x${(1 / Math.max(share, (1 - share) / n)).toFixed(1)}`)
      console.log(
        `  cannot be shared: ${(100 * share).toFixed(0)} %; at best by threads beside it ${gains.join(', ')}`,
      )
    }
  }
}

/** CPU of the thread that reads, in ms. */
function cut(file: string): number {
  const fd = openSync(file, 'r')
  const buffer = allocateInputBuffer(READ_BYTES)
  const borders = new Borders(() => undefined)
  const parser = new RdbParser(borders, { lane: borders.lane })
  borders.parser = parser
  const before = process.cpuUsage()
  for (let at = 0; ;) {
    const count = readSync(fd, buffer, 0, READ_BYTES, at)
    if (count === 0) break
    parser.push(buffer.subarray(0, count))
    at += count
  }
  parser.end()
  closeSync(fd)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}
