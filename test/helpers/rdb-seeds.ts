/**
 * Small RDB files, each with one record of a fixture: every type, opcode and encoding that real
 * servers wrote, in as few bytes as possible. Food for fuzzing.
 */
import { readFileSync } from 'node:fs'
import { RdbParser } from '../../src/rdb/parser.js'
import { DEPTH, type RdbVisitor } from '../../src/rdb/visitor.js'
import { fixtureFiles } from './fixtures.js'

export interface Seed {
  name: string
  bytes: Buffer
}

/** A trailing checksum of 0: absent, so that a changed byte is met where it lies. */
const NO_CHECKSUM = Buffer.alloc(8)

/** One file a key, at most `maxBytes` long; and each whole fixture that is no longer. */
export function rdbSeeds(maxBytes = 4096): Seed[] {
  const seeds: Seed[] = []
  for (const { name: file, path } of fixtureFiles('.rdb')) {
    if (file.startsWith('corrupt')) continue
    const bytes = readFileSync(path)
    if (bytes.length <= maxBytes) seeds.push({ name: file, bytes })
    seeds.push(...recordsOf(file, bytes, maxBytes))
  }
  return seeds
}

/** Keys of equal type and length in one file are alike: one of them is enough. */
function recordsOf(file: string, bytes: Buffer, maxBytes: number): Seed[] {
  const seeds: Seed[] = []
  const seen = new Set<string>()
  const head = bytes.subarray(0, 9)
  const visitor: RdbVisitor = {
    key: () => DEPTH.SKIP,
    keyEnd: (header, { recordBytes }) => {
      const kind = `${header.typeByte} ${recordBytes}`
      if (recordBytes > maxBytes || seen.has(kind)) return
      seen.add(kind)
      const record = bytes.subarray(header.byteOffset, header.byteOffset + recordBytes)
      seeds.push({
        name: `${file} at ${header.byteOffset}`,
        bytes: Buffer.concat([head, record, Buffer.of(0xff), NO_CHECKSUM]),
      })
    },
  }
  const parser = new RdbParser(visitor, { checksum: 'ignore' })
  parser.push(bytes)
  parser.end()
  return seeds
}
