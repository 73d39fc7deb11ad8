/** An export into memory. */
import type { SourceName } from '../../src/source/classify.js'
import { Writable } from 'node:stream'
import { exportKeys, type ExportOptions, type ExportResult } from '../../src/verbs/export/run.js'

export async function exportToBuffer({
  source,
  ...options
}: Omit<ExportOptions, 'output'> & { source: SourceName }): Promise<{
  bytes: Buffer
  text: string
  result: ExportResult
}> {
  const chunks: Buffer[] = []
  const output = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      chunks.push(Buffer.from(chunk))
      done()
    },
  })
  const result = await exportKeys(source, { ...options, output })
  const bytes = Buffer.concat(chunks)
  return { bytes, text: bytes.toString('utf8'), result }
}
