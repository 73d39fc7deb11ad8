/** A pending entry that XNACK (Redis 8.8) gave back to its group was left out of `export --format
 * resp`, and one given back with FATAL made the whole file "corrupt". No server of 8.8 is at hand:
 * the file is put together after the reference, the commands are those of its documentation. */
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { exportToBuffer } from '../helpers/export.js'

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s+/g, ''), 'hex')
const id = (n: number): string => `0000000000000005 000000000000000${n}`

/** 5-1 is pending for c, 5-2 (delivered 3 times) and 5-3 (FATAL) for nobody; no entry lives. */
const FILE = Buffer.concat([
  Buffer.from('REDIS0014'),
  hex('1b 02'),
  Buffer.from('st'),
  hex('00 00 05 05 00 00 00 00 03'),
  hex('01 01'),
  Buffer.from('g'),
  hex('05 05 03 03'),
  hex(`${id(1)} 0100000000000000 01`),
  hex(`${id(2)} 0000000000000000 03`),
  hex(`${id(3)} 0000000000000000 81 7fffffffffffffff`),
  hex('01 01'),
  Buffer.from('c'),
  hex(`0300000000000000 0400000000000000 01 ${id(1)}`),
  hex(`02 ${id(2)} ${id(3)}`),
  hex('40 64 40 64 00 00 00'),
  hex('ff 0000000000000000'),
])

async function commands(version: string): Promise<{ lines: string[]; losses: unknown }> {
  const { text, result } = await exportToBuffer({
    source: '-',
    stdin: Readable.from([FILE]),
    format: 'resp',
    target: { family: 'redis', version },
  })
  const lines = text
    .split(/\*\d+\r\n/)
    .slice(1)
    .map((command) =>
      command
        .replace(/\$\d+\r\n/g, '')
        .replaceAll('\r\n', ' ')
        .trim(),
    )
  return { lines, losses: result.losses }
}

test('entries that nobody owns go as XNACK … FORCE to a server that knows it', async () => {
  const { lines, losses } = await commands('8.8')
  expect(losses).toEqual({})
  expect(lines.filter((line) => /^X(CLAIM|NACK)/.test(line))).toEqual([
    'XCLAIM st g c 0 5-1 TIME 1 RETRYCOUNT 1 FORCE JUSTID',
    'XNACK st g FAIL IDS 1 5-2 RETRYCOUNT 3 FORCE',
    'XNACK st g FATAL IDS 1 5-3 FORCE',
  ])
  // XNACK takes only what the stream holds: the entries are there until it was sent.
  expect(lines.findIndex((line) => line.startsWith('XADD st 5-3'))).toBeLessThan(
    lines.findIndex((line) => line.startsWith('XNACK')),
  )
})

test('they are told as lost where the server does not know XNACK', async () => {
  const { lines, losses } = await commands('8.6')
  expect(losses).toEqual({ 'pending-nacked': 2 })
  expect(lines.some((line) => line.startsWith('XNACK'))).toBe(false)
})

test('a count of deliveries without end is no damage, and is told exactly', async () => {
  const { text } = await exportToBuffer({
    source: '-',
    stdin: Readable.from([FILE]),
    format: 'jsonl',
  })
  expect(text).toContain('["5-3",null,9223372036854775807]')
})
