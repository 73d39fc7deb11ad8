/** Tables are made for people: a dump of 200,000 databases still has a summary. */
import { expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'

const DATABASES = 200_000

function lengthBytes(value: number): Buffer {
  if (value < 64) return Buffer.from([value])
  if (value < 16384) return Buffer.from([64 | (value >> 8), value & 255])
  const bytes = Buffer.from([0x80, 0, 0, 0, 0])
  bytes.writeUInt32BE(value, 1)
  return bytes
}

test('inspect shows the first of 200,000 databases and counts the rest', async () => {
  const parts: Buffer[] = [Buffer.from('REDIS0010')]
  for (let db = 0; db < DATABASES; db += 1) {
    parts.push(Buffer.from([0xfe]), lengthBytes(db), Buffer.from([0, 1, 0x6b, 1, 0x76]))
  }
  const dump = Buffer.concat([...parts, Buffer.from([0xff]), Buffer.alloc(8)])
  const { code, out, err } = await runCli(['inspect', '-'], { stdin: dump })
  expect(err).not.toContain('bug')
  expect(code).toBe(0)
  expect(out).toContain('and 199,950 more databases with 199,950 keys')
})
