/** Entries of listpacks whose back-length one line of servers writes otherwise than another. */
import type { Buffer } from 'node:buffer'
import { RawValueParser } from '../../rdb/raw-value-parser.js'
import { DEPTH, type KeyHeader } from '../../rdb/visitor.js'

export function hasListpacks({ type }: KeyHeader): boolean {
  return ['listpack', 'quicklist', 'listpackex', 'stream'].includes(type.encoding)
}

/** Whether a value has an entry whose back-length servers disagree on. */
export function hasDisputedLength(header: KeyHeader, value: Buffer): boolean {
  let isDisputed = false
  const parser = new RawValueParser(header, {
    key: () => DEPTH.ELEMENTS,
    keyEnd: (_header, stats) => (isDisputed = stats.hasDisputedLength),
  })
  parser.push(value)
  parser.end()
  return isDisputed
}
