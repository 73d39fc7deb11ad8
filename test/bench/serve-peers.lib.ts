/**
 * Both ends of a serve benchmark, each as a process of its own: readers that take a snapshot (or a
 * stream) and throw it away, and a master that sends a stream as fast as it is taken.
 *
 *   node --import tsx serve-peers.lib.ts read PORT READERS
 *   node --import tsx serve-peers.lib.ts blast BYTES
 */
import { spawn } from 'node:child_process'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'

const SELF = join(import.meta.dirname, 'serve-peers.lib.ts')
const HANDSHAKE = ['REPLCONF listening-port 0\r\n', 'REPLCONF capa eof capa psync2\r\n']
const ACK = '*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$1\r\n0\r\n'
/** The snapshot of the blasting master. */
const EMPTY = Buffer.from('REDIS0006\xff\0\0\0\0\0\0\0\0', 'latin1')

export interface ReadResult {
  bytes: number
  /** From PSYNC to the first byte of the payload, of the slowest reader. */
  waitMs: number
  /** From the first byte of a payload to the last of all. */
  transferMs: number
}

/** So many readers take a snapshot from the port at once. */
export async function readSnapshots(port: number, readers: number): Promise<ReadResult> {
  return (await runPeer(['read', String(port), String(readers)])) as ReadResult
}

export async function startBlaster(
  bytes: number,
): Promise<{ port: number; pid: number; stop: () => void }> {
  const child = spawn(process.execPath, ['--import', 'tsx', SELF, 'blast', String(bytes)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.once('data', (chunk: Buffer) => resolve(Number(chunk.toString())))
    child.once('exit', () => reject(new Error('the blasting master ended')))
  })
  return { port, pid: child.pid!, stop: () => child.kill() }
}

/** Follows the stream from a port, counting. */
export interface StreamReader {
  readonly bytes: number
  onBytes: (bytes: Buffer) => void
  close(): void
}

export async function followStream(port: number): Promise<StreamReader> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  const reader: StreamReader & { bytes: number } = {
    bytes: 0,
    onBytes: () => undefined,
    close: () => socket.destroy(),
  }
  let state: 'handshake' | 'payload' | 'stream' = 'handshake'
  let text = ''
  let left = 0
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject)
    socket.on('data', (chunk) => {
      let bytes = chunk
      if (state === 'handshake') {
        text += chunk.toString('latin1')
        const header = /\+FULLRESYNC [^\r]*\r\n\n*\$(\d+)\r\n/.exec(text)
        if (header === null) return
        left = Number(header[1])
        bytes = Buffer.from(text.slice(header.index + header[0].length), 'latin1')
        state = 'payload'
      }
      if (state === 'payload') {
        const taken = Math.min(left, bytes.length)
        left -= taken
        bytes = bytes.subarray(taken)
        if (left > 0) return
        state = 'stream'
        resolve()
      }
      if (bytes.length === 0) return
      reader.bytes += bytes.length
      reader.onBytes(bytes)
    })
    // Without capa eof the payload comes with its length.
    socket.write('REPLCONF listening-port 0\r\nREPLCONF capa psync2\r\n')
    setTimeout(() => socket.write('PSYNC ? -1\r\n'), 50)
  })
  const timer = setInterval(() => socket.write(ACK), 1000)
  socket.on('close', () => clearInterval(timer))
  return reader
}

async function runPeer(args: readonly string[]): Promise<unknown> {
  const child = spawn(process.execPath, ['--import', 'tsx', SELF, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await new Promise<void>((resolve) => child.once('close', () => resolve()))
  return JSON.parse(text) as unknown
}

async function read(port: number, readers: number): Promise<ReadResult> {
  const startedMs = performance.now()
  const results = await Promise.all(Array.from({ length: readers }, () => readOne(port)))
  const first = Math.min(...results.map((each) => each.firstMs))
  const last = Math.max(...results.map((each) => each.lastMs))
  return {
    bytes: results.reduce((sum, each) => sum + each.bytes, 0),
    waitMs: Math.max(...results.map((each) => each.firstMs)) - startedMs,
    transferMs: last - first,
  }
}

async function readOne(port: number): Promise<{ bytes: number; firstMs: number; lastMs: number }> {
  return await new Promise((resolve, reject) => {
    let text = ''
    let lengthBytes: number | undefined
    let bytes = 0
    let firstMs = 0
    let mark = ''
    let tail = ''
    const finish = (): void => {
      clearInterval(timer)
      socket.destroy()
      resolve({ bytes, firstMs, lastMs: performance.now() })
    }
    const take = (chunk: Buffer): void => {
      bytes += chunk.length
      if (lengthBytes !== undefined) {
        if (bytes >= lengthBytes) finish()
        return
      }
      tail = (tail + chunk.toString('latin1', Math.max(0, chunk.length - 40))).slice(-40)
      if (tail === mark) finish()
    }
    const socket: Socket = connect({
      port,
      host: '127.0.0.1',
      onread: {
        buffer: Buffer.alloc(1 << 20),
        callback: (count, buffer) => {
          const chunk = Buffer.from(buffer.buffer, buffer.byteOffset, count)
          if (firstMs > 0) {
            take(chunk)
            return true
          }
          text += chunk.toString('latin1')
          if (text.startsWith('-')) reject(new Error(text))
          const header = /\n\$(?:(\d+)|EOF:([0-9a-f]{40}))\r\n/.exec(text)
          if (header === null) return true
          firstMs = performance.now()
          lengthBytes = header[1] === undefined ? undefined : Number(header[1])
          mark = header[2] ?? ''
          take(Buffer.from(text.slice(header.index + header[0].length), 'latin1'))
          return true
        },
      },
    })
    socket.on('error', reject)
    for (const line of HANDSHAKE) socket.write(line)
    setTimeout(() => socket.write('PSYNC ? -1\r\n'), 50)
    const timer = setInterval(() => socket.write('\n'), 1000)
  })
}

/** Answers one link, then sends so many bytes of SETs and closes nothing. */
function blast(totalBytes: number): void {
  const set = Buffer.from(`*3\r\n$3\r\nSET\r\n$10\r\nkey:000001\r\n$32\r\n${'v'.repeat(32)}\r\n`)
  const chunk = Buffer.concat(Array.from({ length: 1000 }, () => set))
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (bytes: Buffer) => {
      const text = bytes.toString('latin1')
      if (text.includes('ACK')) return
      if (!text.includes('PSYNC')) {
        for (let left = text.split('\r\n*').length; left > 0; left -= 1) socket.write('+OK\r\n')
        return
      }
      socket.write(`+FULLRESYNC ${'a'.repeat(40)} 0\r\n$${EMPTY.length}\r\n`)
      socket.write(EMPTY)
      // The reader is to be there before the stream begins.
      setTimeout(() => send(socket, totalBytes), 3000)
    })
  })
  const send = (socket: Socket, left: number): void => {
    let rest = left
    const more = (): void => {
      while (rest > 0) {
        rest -= chunk.length
        if (!socket.write(chunk)) {
          socket.once('drain', more)
          return
        }
      }
    }
    more()
  }
  server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))
}

if (process.argv[1] === SELF) {
  const [what, ...rest] = process.argv.slice(2)
  if (what === 'blast') blast(Number(rest[0]))
  else console.log(JSON.stringify(await read(Number(rest[0]), Number(rest[1]))))
}
