/** A TCP proxy whose connections can be cut, held up, and counted: link faults on real servers. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

export interface CuttingProxy {
  port: number
  /** Bytes that came from the target. */
  readonly downBytes: number
  readonly connections: number
  /** Resets everything that is open; new connections are let through. */
  cut(): void
  /** Refuses new connections (true) or lets them through again. */
  block(isBlocked: boolean): void
  /** Lets so many more bytes come from the target, then no more. */
  holdAfter(bytes: number): void
  /** Resolves when a client sends these bytes, which lie in one piece, for the first or a later time. They are
   * held up, or, `behind` them, what comes back. */
  holdAt(bytes: string, where: 'before' | 'behind', times?: number): Promise<void>
  /** New connections go there: a failover. */
  retarget(port: number): void
  stop(): Promise<void>
}

export async function startProxy(targetPort: number): Promise<CuttingProxy> {
  const open = new Set<Socket>()
  let isBlocked = false
  let currentPort = targetPort
  let downBytes = 0
  let connections = 0
  let heldAt = Infinity
  let trap:
    { bytes: string; where: 'before' | 'behind'; times: number; met: () => void } | undefined
  const server = createServer((client) => {
    if (isBlocked) {
      client.resetAndDestroy()
      return
    }
    connections += 1
    const target = connect(currentPort, '127.0.0.1')
    for (const socket of [client, target]) {
      open.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        open.delete(socket)
        client.destroy()
        target.destroy()
      })
    }
    target.on('data', (chunk: Buffer) => {
      downBytes += chunk.length
      if (downBytes < heldAt) return
      target.unpipe(client)
      target.pause()
    })
    client.on('data', (chunk: Buffer) => {
      if (trap !== undefined && chunk.includes(trap.bytes)) trap.times -= 1
      const isMet = trap?.times === 0
      if (isMet) client.pause()
      if (isMet && trap?.where === 'behind') target.unpipe(client)
      if (!isMet || trap?.where === 'behind') {
        if (!target.write(chunk) && !isMet) {
          client.pause()
          target.once('drain', () => client.resume())
        }
      }
      if (isMet) trap?.met()
    })
    client.on('end', () => target.end())
    target.pipe(client)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = (): void => {
    for (const socket of open) socket.resetAndDestroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    get downBytes() {
      return downBytes
    },
    get connections() {
      return connections
    },
    cut,
    block: (blocked) => (isBlocked = blocked),
    holdAfter: (bytes) => (heldAt = downBytes + bytes),
    holdAt: async (bytes, where, times = 1) => {
      await new Promise<void>((met) => (trap = { bytes, where, times, met }))
      trap = undefined
    },
    retarget: (port) => (currentPort = port),
    stop: async () => {
      cut()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}
