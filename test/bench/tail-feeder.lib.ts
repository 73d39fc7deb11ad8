/**
 * A master that gives its stream as fast as the socket takes it: 140 MB of SETs of 70 bytes. A
 * process of its own, so that it takes nothing from the one measured. Prints, as JSON lines, its
 * port, when the first stream byte was offered, when the last was taken, and acknowledgements.
 */
import { createServer, type Socket } from 'node:net'

const COMMANDS = Number(process.argv[2] ?? 2_000_000)
const REPLID = '5'.repeat(40)
const CHUNK_BYTES = 64 << 10
/** `REDIS0011`, end of file, no checksum. */
const EMPTY_RDB = Buffer.from('524544495330303131ff0000000000000000', 'hex')

const tell = (event: Record<string, unknown>): void => {
  process.stdout.write(`${JSON.stringify({ ...event, atMs: performance.now() })}\n`)
}

function command(i: number): string {
  const key = `key:${String(i % 1_000_000).padStart(12, '0')}`
  return `*3\r\n$3\r\nSET\r\n$16\r\n${key}\r\n$26\r\n${'v'.repeat(26)}\r\n`
}

const commandBytes = Buffer.byteLength(command(0))
const perBlock = 65_536
const block = Buffer.from(Array.from({ length: perBlock }, (_, i) => command(i)).join(''))
const totalBytes = COMMANDS * commandBytes

async function feed(socket: Socket): Promise<void> {
  tell({ event: 'begin', totalBytes, commandBytes })
  for (let sent = 0; sent < totalBytes;) {
    const at = sent % block.length
    const take = Math.min(CHUNK_BYTES, block.length - at, totalBytes - sent)
    sent += take
    if (!socket.write(block.subarray(at, at + take))) {
      await new Promise<void>((resolve) => socket.once('drain', resolve))
    }
    if (socket.destroyed) return
  }
  tell({ event: 'sent' })
  socket.write('*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n')
}

const info = [
  '# Replication',
  'role:master',
  'connected_slaves:0',
  `master_replid:${REPLID}`,
  `master_replid2:${'0'.repeat(40)}`,
  'master_repl_offset:0',
  'second_repl_offset:-1',
  'repl_backlog_active:1',
  'repl_backlog_size:1048576',
  'repl_backlog_first_byte_offset:1',
  'repl_backlog_histlen:0',
  '',
].join('\r\n')

const server = createServer((socket) => {
  socket.setNoDelay(true)
  socket.on('error', () => undefined)
  socket.on('data', (data: Buffer) => {
    for (const request of data.toString('latin1').split('*').slice(1)) {
      const words = request.split('\r\n').filter((word, i) => i > 0 && !word.startsWith('$'))
      const name = words[0]?.toUpperCase()
      if (name === 'PING') socket.write('+PONG\r\n')
      else if (name === 'INFO') socket.write(`$${info.length}\r\n${info}\r\n`)
      else if (name === 'REPLCONF' && words[1]?.toUpperCase() === 'ACK') {
        tell({ event: 'ack', offset: Number(words[2]), fack: Number(words[4] ?? -1) })
      } else if (name === 'PSYNC') {
        if (words[1] === '?') {
          socket.write(`+FULLRESYNC ${REPLID} 0\r\n$${EMPTY_RDB.length}\r\n`)
          socket.write(EMPTY_RDB)
        } else {
          socket.write(`+CONTINUE ${REPLID}\r\n`)
        }
        setTimeout(() => void feed(socket), 300)
      } else if (name === 'REPLCONF' || name === 'CLIENT') socket.write('+OK\r\n')
      else if (name !== undefined && name !== '') socket.write('-ERR unknown command\r\n')
    }
  })
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  tell({ event: 'listening', port: typeof address === 'object' ? address?.port : 0 })
})
