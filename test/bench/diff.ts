/** `rrep diff` of D and a copy of it in another order, against `rrep inspect` of one of them. */
import { copyFileSync, existsSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { startServer } from '../helpers/servers.js'
import { benchData, pairwise, RREP } from './harness.js'

export async function run(): Promise<void> {
  const file = await benchData('D')
  const copy = await inAnotherOrder(file)
  await pairwise(
    'diff D D-reordered',
    { name: 'diff', argv: [...RREP, 'diff', file, copy, '-q'] },
    { name: 'inspect', argv: [...RREP, 'inspect', file, '-q'] },
    { runs: 3, targetRatio: 4 },
  )
}

/** Written by another process: its hash tables have another seed, and so another order. */
async function inAnotherOrder(file: string): Promise<string> {
  const copy = file.replace(/\.rdb$/, '-reordered.rdb')
  if (existsSync(copy)) return copy
  const server = await startServer()
  try {
    copyFileSync(file, join(server.dir, 'dump.rdb'))
    await server.client.call('DEBUG', 'RELOAD', 'NOSAVE')
    await server.client.call('SAVE')
    copyFileSync(join(server.dir, 'dump.rdb'), `${copy}.part`)
    renameSync(`${copy}.part`, copy)
  } finally {
    await server.stop()
  }
  return copy
}
