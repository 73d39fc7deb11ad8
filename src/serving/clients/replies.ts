/** Replies as RESP2 bytes. Text in status and error lines is made one line of printable ASCII. */
import { Buffer } from 'node:buffer'

export const OK = Buffer.from('+OK\r\n')
export const PONG = Buffer.from('+PONG\r\n')
export const NIL = Buffer.from('$-1\r\n')
export const NEWLINE = Buffer.from('\n')

/** Servers read handshake lines into 256 bytes. */
const MAX_LINE_BYTES = 250

export function status(text: string): Buffer {
  return Buffer.from(`+${oneLine(text)}\r\n`, 'latin1')
}

/** `text` begins with the error's code: `ERR …`, `NOAUTH …`. */
export function errorReply(text: string): Buffer {
  return Buffer.from(`-${oneLine(text)}\r\n`, 'latin1')
}

export function integer(value: number): Buffer {
  return Buffer.from(`:${value}\r\n`, 'latin1')
}

export function bulk(value: string | Uint8Array): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return Buffer.concat([Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n')])
}

export function array(items: readonly Uint8Array[]): Buffer {
  return Buffer.concat([Buffer.from(`*${items.length}\r\n`), ...items])
}

/** A command as a RESP array of bulk strings: the only form a replica accepts in its stream. */
export function command(...words: readonly (string | Uint8Array)[]): Buffer {
  return array(words.map(bulk))
}

function oneLine(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, ' ').slice(0, MAX_LINE_BYTES)
}
