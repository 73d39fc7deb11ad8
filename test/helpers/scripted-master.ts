/**
 * A master that plays a script on a real socket, for what a real one cannot be made to show:
 * faults at an exact byte, a mark in the data, old or odd answers. By default it behaves.
 */
import { createServer, type AddressInfo, type Socket } from 'node:net'

export const MARK = 'abcdefabcdefabcdefabcdefabcdefabcdefabcd'
export const REPLID = '0123456789abcdef0123456789abcdef01234567'

export interface MasterConnection {
  readonly socket: Socket
  /** Commands received, as arguments. */
  readonly commands: string[][]
  /** Order of the connection, from 0. */
  readonly number: number
  send(bytes: string | Uint8Array): void
  /** In pieces, each in a write of its own that the peer has been given the time to read. */
  sendInPieces(bytes: Uint8Array, cuts: readonly number[]): Promise<void>
  close(): void
  reset(): void
}

export interface MasterScript {
  /** Answer to a command; undefined: the default one. An empty string: none. */
  reply?: (args: readonly string[], connection: MasterConnection) => string | undefined
  /** What follows PSYNC (or SYNC). Default: `+FULLRESYNC` and `payload`. */
  onPsync?: (connection: MasterConnection, args: readonly string[]) => void
  onConnect?: (connection: MasterConnection) => void
  onAck?: (connection: MasterConnection, args: readonly string[]) => void
  payload?: Uint8Array
  framing?: 'length' | 'eof'
  replOffset?: number
}

export interface ScriptedMaster {
  readonly port: number
  readonly connections: MasterConnection[]
  stop(): Promise<void>
}

export async function startScriptedMaster(script: MasterScript = {}): Promise<ScriptedMaster> {
  const connections: MasterConnection[] = []
  const server = createServer((socket) => {
    const connection = makeConnection(socket, connections.length)
    connections.push(connection)
    socket.on('error', () => undefined)
    let unread = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      unread = Buffer.concat([unread, chunk])
      for (;;) {
        const parsed = parseCommand(unread)
        if (parsed === undefined) return
        unread = unread.subarray(parsed.length)
        connection.commands.push(parsed.args)
        answer(connection, parsed.args, script)
      }
    })
    script.onConnect?.(connection)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    connections,
    stop: async () => {
      for (const { socket } of connections) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

/** `$<len>` or `$EOF:` around a payload. */
export function framed(payload: Uint8Array, framing: 'length' | 'eof'): Buffer {
  return framing === 'length'
    ? Buffer.concat([Buffer.from(`$${payload.length}\r\n`), payload])
    : Buffer.concat([Buffer.from(`$EOF:${MARK}\r\n`), payload, Buffer.from(MARK)])
}

export function fullResync(replOffset = 100): string {
  return `+FULLRESYNC ${REPLID} ${replOffset}\r\n`
}

function answer(connection: MasterConnection, args: readonly string[], script: MasterScript): void {
  const name = args[0]!.toUpperCase()
  if (name === 'REPLCONF' && args[1]?.toUpperCase() === 'ACK') {
    script.onAck?.(connection, args)
    return
  }
  const scripted = script.reply?.(args, connection)
  if (scripted !== undefined) {
    if (scripted !== '') connection.send(`${scripted}\r\n`)
    return
  }
  if (name === 'HELLO') connection.send("-ERR unknown command 'HELLO'\r\n")
  else if (name === 'PING') connection.send('+PONG\r\n')
  else if (name === 'PSYNC' || name === 'SYNC') {
    if (script.onPsync !== undefined) script.onPsync(connection, args)
    else {
      connection.send(fullResync(script.replOffset))
      connection.send(framed(script.payload ?? Buffer.alloc(0), script.framing ?? 'length'))
    }
  } else connection.send('+OK\r\n')
}

function makeConnection(socket: Socket, number: number): MasterConnection {
  socket.setNoDelay(true)
  return {
    socket,
    commands: [],
    number,
    send: (bytes) => void socket.write(bytes),
    sendInPieces: async (bytes, cuts) => {
      let at = 0
      for (const cut of [...cuts, bytes.length]) {
        if (cut > at) {
          await new Promise<void>((resolve) =>
            socket.write(bytes.subarray(at, cut), () => resolve()),
          )
          // Two turns of the loop: the peer, in the same process, reads between.
          await new Promise<void>((resolve) => setImmediate(resolve))
          await new Promise<void>((resolve) => setImmediate(resolve))
        }
        at = cut
      }
    },
    close: () => void socket.end(),
    reset: () => void socket.resetAndDestroy(),
  }
}

function parseCommand(bytes: Buffer): { args: string[]; length: number } | undefined {
  const text = bytes.toString('latin1')
  if (text === '') return undefined
  if (!text.startsWith('*')) {
    const end = text.indexOf('\n')
    if (end < 0) return undefined
    return { args: text.slice(0, end).trim().split(/\s+/), length: end + 1 }
  }
  let at = text.indexOf('\r\n')
  if (at < 0) return undefined
  const count = Number(text.slice(1, at))
  at += 2
  const args: string[] = []
  for (let i = 0; i < count; i += 1) {
    const end = text.indexOf('\r\n', at)
    if (end < 0) return undefined
    const size = Number(text.slice(at + 1, end))
    if (text.length < end + 2 + size + 2) return undefined
    args.push(text.slice(end + 2, end + 2 + size))
    at = end + 2 + size + 2
  }
  return { args, length: at }
}
