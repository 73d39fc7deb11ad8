/** `inspect --keys --json`: an object a line for each key: what it is, not what it holds. */
import { Buffer } from 'node:buffer'
import type { AnalyzedKey } from '../analyze/key-analysis.js'
import { jsonLine, textOrBase64 } from '../bytes/key-text.js'

/** Collects lines; `flush` hands out what is there. */
export class JsonKeyLines {
  #text = ''

  readonly add = ({ header, stats, type, encoding, memory }: AnalyzedKey): void => {
    const { bytes, start, end } = header.key
    this.#text += jsonLine({
      event: 'key',
      db: header.dbnum,
      ...textOrBase64('key', Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start)),
      type,
      encoding,
      memory: Math.round(memory),
      elements: stats.elements,
      expireAt: header.hasExpiry ? header.expireAtMs : null,
      idle: header.idleSeconds >= 0 ? header.idleSeconds : null,
      freq: header.freq >= 0 ? header.freq : null,
    })
  }

  get hasRows(): boolean {
    return this.#text !== ''
  }

  async flush(write: (bytes: Buffer) => Promise<void>): Promise<void> {
    const text = this.#text
    this.#text = ''
    if (text !== '') await write(Buffer.from(text))
  }
}
