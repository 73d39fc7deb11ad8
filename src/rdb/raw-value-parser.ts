/**
 * A serialised value that was taken as raw bytes and is needed as elements after all: because it
 * grew beyond what one RESTORE should carry, or because the target would misread it. Its bytes
 * are put into the frame of a small RDB file of their own, as they come, and parsed from there.
 */
import { Buffer } from 'node:buffer'
import { RdbParser } from './parser.js'
import type { KeyHeader, RdbVisitor } from './visitor.js'

const EOF_WITHOUT_CHECKSUM = Buffer.from([0xff, 0, 0, 0, 0, 0, 0, 0, 0])
const MAGIC = { redis: 'REDIS0015', valkey: 'VALKEY080' } as const

export class RawValueParser {
  readonly #parser: RdbParser

  /** @param visitor gets the value's elements, as a key without a name */
  constructor(header: KeyHeader, visitor: RdbVisitor) {
    this.#parser = new RdbParser(visitor, {
      checksum: 'ignore',
      baseByteOffset: header.valueByteOffset - MAGIC.redis.length - 2,
    })
    this.#parser.push(Buffer.from(MAGIC[header.family], 'latin1'))
    this.#parser.push(Buffer.from([header.typeByte, 0]))
  }

  push(bytes: Uint8Array): void {
    this.#parser.push(bytes)
  }

  end(): void {
    this.#parser.push(EOF_WITHOUT_CHECKSUM)
    this.#parser.end()
  }
}
