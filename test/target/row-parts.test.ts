import { expect, test } from 'vitest'
import { OutputBuffer } from '../../src/bytes/output-buffer.js'
import { encodeCommand } from '../../src/resp/encoder.js'
import { RowParts } from '../../src/target/cluster/row-parts.js'
import { keySlot } from '../../src/topology/key-slot.js'

const HASH = 4

/** As the kernel writes them: each with the node whose it is. */
function rowOf(keys: number): { frames: Buffer[]; nodes: number[] } {
  const frames: Buffer[] = []
  const nodes: number[] = []
  for (let i = 0; i < keys; i += 1) {
    const key = i % 7 === 0 ? `{${i}}:${'k'.repeat(i)}` : `key:${i}`
    const value = Buffer.alloc(i, 10)
    const payload = Buffer.concat([Buffer.of(HASH), value])
    const frame = [
      encodeCommand('SET', key, value),
      encodeCommand('SET', key, value, 'PXAT', String(1e12 + i)),
      encodeCommand('RESTORE', key, '0', payload),
      encodeCommand('RESTORE', key, String(1e12 + i), payload, 'ABSTTL', 'REPLACE'),
    ][i % 4]!
    frames.push(Buffer.from(frame))
    nodes.push(keySlot(Buffer.from(key)) % 3)
  }
  return { frames, nodes }
}

test('each command of a row goes to its node, in order; SELECT and what a lost node had to none', () => {
  const written: Buffer[][] = [[], [], []]
  const outs = written.map((to) => new OutputBuffer((bytes) => to.push(Buffer.from(bytes)), 64))
  const owners = Int16Array.from({ length: 16_384 }, (_, slot) => slot % 3)
  const rows = new RowParts(outs, owners)
  for (const lost of [-1, 1]) {
    for (const to of written) to.length = 0
    const { frames, nodes } = rowOf(600)
    const bytes = Buffer.concat([encodeCommand('SELECT', '0'), ...frames])
    const begun: number[] = []
    const parts = rows.divide(
      bytes,
      bytes.length,
      (node) => node !== lost,
      (node) => begun.push(node),
    )
    for (const out of outs) out.flush()
    for (const node of [0, 1, 2]) {
      const own = frames.filter((_, i) => nodes[i] === node && node !== lost)
      expect(Buffer.concat(written[node]!).equals(Buffer.concat(own))).toBe(true)
      const part = parts[node]!
      const hashes = own.filter((frame) => frame.includes('RESTORE')).length
      expect([part.keys, part.keysByType[HASH], part.keysByType[0]]).toEqual([
        ...[own.length, hashes, own.length - hashes],
      ])
    }
    expect(begun.sort()).toEqual([0, 1, 2].filter((node) => node !== lost))
  }
})
