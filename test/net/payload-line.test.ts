/** What a server answers is checked before anything goes by it. */
import { createServer, type AddressInfo, type Server } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { PayloadLine, type ReplyVisitor } from '../../src/net/payload-line.js'
import { makeServerSettings } from '../../src/net/make-server-settings.js'

let server: Server | undefined
afterEach(() => server?.close())

/** A server that answers anything so. */
async function answering(reply: string): Promise<PayloadLine> {
  server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', () => socket.write(reply, 'latin1'))
  })
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return await PayloadLine.open(makeServerSettings(`127.0.0.1:${port}`), undefined)
}

function recorder(): { told: unknown[]; visitor: ReplyVisitor } {
  const told: unknown[] = []
  const visitor: ReplyVisitor = {
    bulk: (bytes) => told.push(['bulk', bytes]),
    bulkPart: (bytes, start, end) => told.push(bytes.toString('latin1', start, end)),
    bulkEnd: () => told.push('end'),
    integer: (value) => told.push(value),
    error: (text) => told.push(['error', text]),
  }
  return { told, visitor }
}

test('replies are told in order', async () => {
  const line = await answering(':12\r\n$3\r\na\r\n\r\n$-1\r\n:-2\r\n-ERR x\r\n')
  const { told, visitor } = recorder()
  await line.request(Buffer.from('x'), 5, visitor)
  line.close()
  expect(told).toEqual([12, ['bulk', 3], 'a\r\n', 'end', ['bulk', -1], -2, ['error', 'ERR x']])
})

test.each([
  '$abc\r\n',
  '$\r\n',
  '$-2\r\n',
  '$1e3\r\n',
  ':\r\n',
  ':9999999999999999999\r\n',
  '!\r\n',
])('%j is no reply: nothing is told', async (reply) => {
  const line = await answering(reply)
  const { told, visitor } = recorder()
  await expect(line.request(Buffer.from('x'), 1, visitor)).rejects.toMatchObject({
    code: 'ERR_PROTOCOL',
  })
  line.close()
  expect(told).toEqual([])
})
