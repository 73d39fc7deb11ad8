import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import { classifySource } from '../../src/source/classify.js'
import { openInput, openStream, type ByteInput } from '../../src/source/source.js'
import { AbortedError, CompressedInputError, FileError } from '../../src/errors.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-source-'))
afterAll(() => rmSync(dir, { recursive: true }))

const content = Buffer.from(`REDIS0011${'some bytes of a file '.repeat(200_000)}`)

function file(name: string, bytes: Uint8Array): string {
  const path = join(dir, name)
  writeFileSync(path, bytes)
  return path
}

async function contentOf(input: ByteInput, startByteOffset = 0): Promise<Buffer> {
  const chunks: Buffer[] = []
  await input.pump(
    (chunk) => {
      chunks.push(Buffer.from(chunk))
      return true
    },
    { startByteOffset },
  )
  input.close()
  return Buffer.concat(chunks)
}

describe('the same bytes come whatever the packing', () => {
  const plain = file('a.txt', content)
  const packed = file('b.txt', gzipSync(content))
  test.each([
    ['a plain file', async () => await openInput(plain), 'none'],
    ['a gzip file', async () => await openInput(packed), 'gzip'],
    ['a pipe', async () => await openStream(Readable.from([content]), 'stdin'), 'none'],
    [
      'a pipe in single bytes at first',
      async () =>
        await openStream(
          Readable.from(
            [...content.subarray(0, 70)]
              .map((byte) => Buffer.of(byte))
              .concat(content.subarray(70)),
          ),
          'stdin',
        ),
      'none',
    ],
    [
      'a gzip pipe',
      async () => await openStream(Readable.from([gzipSync(content)]), 'stdin'),
      'gzip',
    ],
  ])('%s', async (_name, open, compression) => {
    const input = await open()
    expect(input.kind).toBe('rdb')
    expect(input.compression).toBe(compression)
    expect((await contentOf(input)).equals(content)).toBe(true)
    const again = await open()
    expect((await contentOf(again, 100)).equals(content.subarray(100))).toBe(true)
  })
})

test('the kind is found from the bytes, not from the name', async () => {
  const kinds = await Promise.all(
    [
      ['dump.aof', 'VALKEY080'],
      ['dump2.rdb', '*1\r\n$4\r\nPING\r\n'],
      ['x', '#TS:1\r\n'],
      ['manifest', 'file a seq 1 type b\n'],
      ['empty', ''],
      ['text', 'hello'],
    ].map(async ([name, text]) => {
      const input = await openInput(file(name!, Buffer.from(text!)))
      input.close()
      return input.kind
    }),
  )
  expect(kinds).toEqual(['rdb', 'aof', 'aof', 'manifest', 'empty', 'unknown'])
})

test('a gzip file cut short is an input error, not a crash', async () => {
  const path = file('cut.gz', gzipSync(content).subarray(0, -9))
  const input = await openInput(path)
  await expect(contentOf(input)).rejects.toBeInstanceOf(CompressedInputError)
})

test('a missing file is named, and a path is never taken for a host', async () => {
  await expect(openInput(join(dir, 'missing'))).rejects.toThrow(/no such file/)
  await expect(classifySource('no/such/dump.rdb')).rejects.toThrow(FileError)
  await expect(classifySource('missing.rdb')).rejects.toThrow(FileError)
  expect(await classifySource('localhost:6379')).toEqual({
    kind: 'server',
    address: 'localhost:6379',
  })
  expect(await classifySource(dir)).toEqual({ kind: 'directory', path: dir })
  expect(await classifySource('-')).toEqual({ kind: 'stdin' })
})

test('an abort ends the reading of a pipe that stays silent', async () => {
  const controller = new AbortController()
  const silent = new Readable({ read: () => undefined })
  silent.push(content.subarray(0, 200))
  const input = await openStream(silent, 'stdin', undefined, { signal: controller.signal })
  const ended = contentOf(input)
  controller.abort()
  await expect(ended).rejects.toBeInstanceOf(AbortedError)
})
