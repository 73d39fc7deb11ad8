/**
 * A program that plays a master with one ready RDB file, as fast as the socket takes it:
 * `node --import tsx serve-ready.lib.ts FILE length|eof`; prints its port. Understands what rrep
 * and redis-cli --rdb say.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { createServer, type AddressInfo, type Socket } from 'node:net'

const MARK = 'abcdefabcdefabcdefabcdefabcdefabcdefabcd'
const BLOCK_BYTES = 1 << 20

const [file = '', framing = 'length'] = process.argv.slice(2)
const server = createServer((socket) => {
  socket.on('error', () => undefined)
  socket.on('data', (chunk: Buffer) => {
    const text = chunk.toString('latin1').toUpperCase()
    // Order matters: one request at a time, but redis-cli sends REPLCONF and SYNC in one go.
    for (let i = text.split('REPLCONF').length - 1; i > 0; i -= 1) socket.write('+OK\r\n')
    if (text.includes('PING')) socket.write('+PONG\r\n')
    if (text.includes('RDBCHECKSUM')) {
      socket.write('*2\r\n$11\r\nrdbchecksum\r\n$3\r\nyes\r\n')
    } else if (/\r\n(INFO|ROLE|HELLO|CLIENT|CONFIG|SENTINEL|CLUSTER|COMMAND)\r\n/.test(text)) {
      // Whatever else is asked before is not known here.
      socket.write('-ERR unknown command\r\n')
    }
    if (text.includes('\r\nPSYNC\r\n')) {
      socket.write(`+FULLRESYNC ${MARK} 1\r\n`)
      send(socket)
    } else if (/(^|\n)SYNC\r\n/.test(text)) send(socket)
  })
})

function send(socket: Socket): void {
  const fd = openSync(file, 'r')
  const size = fstatSync(fd).size
  socket.write(framing === 'eof' ? `$EOF:${MARK}\r\n` : `$${size}\r\n`)
  const pump = (): void => {
    for (;;) {
      const block = Buffer.allocUnsafeSlow(BLOCK_BYTES)
      const count = readSync(fd, block, 0, BLOCK_BYTES, null)
      if (count === 0) {
        closeSync(fd)
        socket.end(framing === 'eof' ? MARK : '')
        return
      }
      if (!socket.write(block.subarray(0, count))) {
        socket.once('drain', pump)
        return
      }
    }
  }
  pump()
}

server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`)
})
