/** A dump whose keys would like to be more than text. */
import { rdbBytes } from './rdb-bytes.js'
import { str } from './rdb-values.js'

const TEXTS = [
  '<script>alert(1)</script>:a',
  '"><img src=x onerror=alert(1)>:b',
  '</script><script>alert(2)</script>:c',
  '<!--:d',
  "' onmouseover='alert(3)' x=':e",
  '{{constructor}}:${1+1}:f',
  '__proto__:polluted',
  'constructor:prototype:g',
  '\u202egnp.exe:h',
  'שלום:עולם:i',
  '\x1b[2J\x1b[31mred:j',
  'line\u2028break\u2029:k',
  'nul\0byte\r\n:l',
  '&lt;b&gt;:m',
  '',
  ':',
  '::::',
  '%E0%A4%A:n',
]

export const HOSTILE_NAMES: readonly Buffer[] = [
  ...TEXTS.map((text) => Buffer.from(text)),
  Buffer.from([0xff, 0xfe, 0x3a, 0x80]),
  Buffer.alloc(1 << 20, 'A'),
  Buffer.concat([Buffer.from('big:'), Buffer.alloc(1 << 20, '<')]),
]

/** Strings of these names. */
export function dumpOfNames(names: readonly Buffer[], valueBytes = 40): Buffer {
  const value = str(Buffer.alloc(valueBytes, 'v'))
  const body: Buffer[] = [Buffer.of(0xfe, 0)]
  for (const name of names) body.push(Buffer.of(0), str(name), value)
  return rdbBytes({ body: Buffer.concat(body), checksum: 'zero' })
}
