/** Uploads in parts, against a store that is asked to be slow, and one that answers wrongly. */
import { createHash } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { connectBucket, type BucketClient } from '../../src/storage/s3/client.js'
import { Upload } from '../../src/storage/s3/uploader.js'
import { seededRandom } from '../helpers/pieces.js'
import { envOf } from '../helpers/swift.js'

const PART_BYTES = 3 << 20
const random = seededRandom(20261127)

let server: Server
let client: BucketClient
let parts: Map<string, Buffer>
let stored: Buffer
let highestAtOnce: number
let isDamaging = false

const hexOf = (algorithm: string, bytes: Buffer): string =>
  createHash(algorithm).update(bytes).digest('hex')

beforeAll(async () => {
  let atOnce = 0
  server = createServer((request, answer) => {
    const url = new URL(request.url!, 'http://store')
    const part = url.searchParams.get('partNumber')
    if (part !== null) highestAtOnce = Math.max(highestAtOnce, (atOnce += 1))
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks)
      const reply = (text = ''): void => void answer.end(text)
      const { headers } = request
      if (request.method === 'PUT') {
        // What the request says of its body is what came.
        expect(headers['x-amz-content-sha256']).toBe(hexOf('sha256', body))
        const md5 = Buffer.from(headers['content-md5'] as string, 'base64').toString('hex')
        expect(md5).toBe(hexOf('md5', body))
        answer.setHeader('ETag', `"${isDamaging ? '0'.repeat(32) : md5}"`)
      }
      if (part !== null) {
        setTimeout(() => {
          atOnce -= 1
          parts.set(`${url.searchParams.get('uploadId')!} ${part}`, body)
          reply()
        }, random() * 20)
      } else if (request.method === 'PUT') {
        stored = body
        reply()
      } else if (request.method === 'HEAD') {
        answer.setHeader('Content-Length', stored.length)
        reply()
      } else if (url.searchParams.has('uploads')) {
        reply(`<R><UploadId>${hexOf('md5', Buffer.from(String(random())))}</UploadId></R>`)
      } else if (request.method === 'POST') {
        const id = url.searchParams.get('uploadId')!
        const numbers = [...body.toString().matchAll(/<PartNumber>(\d+)</g)]
        stored = Buffer.concat(numbers.map(([, number]) => parts.get(`${id} ${number!}`)!))
        reply('<R/>')
      } else {
        answer.statusCode = 204
        reply()
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  Object.assign(process.env, envOf((server.address() as AddressInfo).port))
  client = await connectBucket('bucket', undefined)
})
beforeEach(() => {
  parts = new Map()
  highestAtOnce = 0
})
afterAll(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

const begin = (): Upload =>
  new Upload(client, { bucket: 'bucket', key: 'a/b', partBytes: PART_BYTES, isTagMd5: true })

/** In pieces of any length. Who never waits leaves it to the upload to keep what does not fit. */
async function writeAll(upload: Upload, bytes: Buffer, isPatient: boolean): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + 1 + Math.floor(random() * (1 << 19)))
    upload.write(bytes, at, end)
    at = end
    const waiting = upload.drain()
    if (waiting !== undefined && isPatient) await waiting
  }
}

function someBytes(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let at = 0; at < length; at += 1) bytes[at] = random() * 256
  return bytes
}

test.each([
  ['nothing', 0, true],
  ['less than a part', PART_BYTES - 1, true],
  ['exactly a part', PART_BYTES, true],
  ['a byte more', PART_BYTES + 1, true],
  ['many parts', 5 * PART_BYTES + 12_345, true],
  ['whole parts, from a writer that does not wait', 4 * PART_BYTES, false],
])('%s: what is stored is what was written, and its hash is known', async (_, length, patient) => {
  const bytes = someBytes(length)
  const upload = begin()
  await writeAll(upload, bytes, patient)
  await upload.finish()
  expect(stored.equals(bytes)).toBe(true)
  expect(upload.writtenBytes).toBe(length)
  expect(upload.digest.sha256).toBe(hexOf('sha256', bytes))
  expect(highestAtOnce).toBeLessThanOrEqual(2)
  if (length > 4 * PART_BYTES) expect(highestAtOnce).toBe(2)
})

test('begun anew in the middle of a part, nothing of the first beginning is in it', async () => {
  for (const second of [PART_BYTES >> 1, 3 * PART_BYTES + 7]) {
    const upload = begin()
    await writeAll(upload, someBytes(2 * PART_BYTES + 1_000_000), true)
    upload.restart()
    const bytes = someBytes(second)
    await writeAll(upload, bytes, true)
    await upload.finish()
    await upload.tidied
    expect(stored.equals(bytes)).toBe(true)
    expect(upload.digest.sha256).toBe(hexOf('sha256', bytes))
  }
})

test('a store that has other bytes is told, and the upload given up', async () => {
  isDamaging = true
  try {
    const upload = begin()
    const whole = async (): Promise<void> => {
      await writeAll(upload, someBytes(3 * PART_BYTES), true)
      await upload.finish()
    }
    await expect(whole()).rejects.toMatchObject({ code: 'ERR_STORE_DAMAGED' })
    upload.discard()
    await upload.tidied
  } finally {
    isDamaging = false
  }
})
