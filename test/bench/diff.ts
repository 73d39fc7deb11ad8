/**
 * `rrep diff` of D and a copy of it that was written in another order, against `rrep inspect` of one
 * of them: at most four times its time.
 */
import { spawnSync } from 'node:child_process'
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

/**
 * Loaded by commands over several connections, and saved: keys were made in another order, and the
 * hash tables of keys, sets and hashes have another seed. Kept beside the others.
 */
async function inAnotherOrder(file: string): Promise<string> {
  const copy = file.replace(/\.rdb$/, '-reordered.rdb')
  if (existsSync(copy)) return copy
  console.log('making the copy of D in another order (once)…')
  const server = await startServer()
  try {
    const address = `127.0.0.1:${server.port}`
    const argv = ['replay', file, address, '--restore', 'never', '--connections', '5', '-q']
    const loaded = spawnSync(RREP[0], [RREP[1], ...argv], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    if (loaded.status !== 0) throw new Error(`rrep replay ended with ${loaded.status}`)
    await server.client.call('SAVE')
    copyFileSync(join(server.dir, 'dump.rdb'), `${copy}.part`)
    renameSync(`${copy}.part`, copy)
  } finally {
    await server.stop()
  }
  return copy
}
