/**
 * Servers stop at a set, sorted set or hash in which a member or field is there twice, whatever its
 * form. `inspect --check` called the plain forms sound.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { serverBinaries } from '../helpers/servers.js'

const SCORE = Buffer.alloc(8)
const FORMS = [
  { name: 'set', typeByte: 2, behind: Buffer.alloc(0) },
  { name: 'hash', typeByte: 4, behind: Buffer.from([1, 0x76]) },
  { name: 'zset', typeByte: 5, behind: SCORE },
] as const

/** `count` members, of which the last is the one at `twice` again. */
function dump(form: (typeof FORMS)[number], count: number, twice: number | undefined): Buffer {
  const parts: Buffer[] = [Buffer.from('REDIS0009'), Buffer.of(0xfe, 0)]
  // Enough before it that the kernels are at work.
  for (let index = 0; index < 50; index += 1) {
    const key = Buffer.from(`key:${index}`)
    parts.push(Buffer.of(0, key.length), key, Buffer.of(1, 0x76))
  }
  parts.push(Buffer.of(form.typeByte, 1, 0x6b, 0x80), Buffer.alloc(4))
  parts.at(-1)!.writeUInt32BE(count)
  for (let index = 0; index < count; index += 1) {
    const member = Buffer.from(`m${index === count - 1 ? (twice ?? index) : index}`)
    parts.push(Buffer.of(member.length), member, form.behind)
  }
  return Buffer.concat([...parts, Buffer.of(0xff), Buffer.alloc(8)])
}

for (const form of FORMS) {
  for (const count of [3, 500, 20_000]) {
    test(`a ${form.name} of ${count} with one twice is not sound, and without it is`, async () => {
      const sound = await runCli(['inspect', '-', '--check'], {
        stdin: dump(form, count, undefined),
      })
      expect(sound.err).toBe('')
      expect(sound.code).toBe(0)
      const twice = await runCli(['inspect', '-', '--check'], { stdin: dump(form, count, 1) })
      expect(twice.code).toBe(6)
      expect(twice.err).toContain('m1 is there twice')
      expect(twice.err).toContain('key k')
    })
  }
}

const checkRdb = serverBinaries()[0]?.checkRdb
test.skipIf(checkRdb === undefined)('redis-check-rdb reads these files', () => {
  const directory = mkdtempSync(join(tmpdir(), 'rrep-test-'))
  try {
    for (const form of FORMS) {
      const file = join(directory, `${form.name}.rdb`)
      writeFileSync(file, dump(form, 500, undefined))
      expect(execFileSync(checkRdb!, [file], { encoding: 'utf8' })).toContain('RDB looks OK')
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
