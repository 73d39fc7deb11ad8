/** A store behind a network that fails: requests that are dropped, throttled, cut or never answered. */
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What becomes of a request; the default is that it passes. */
export type Fate = 'pass' | 'drop' | 'slow-down' | 'mute' | 'cut-answer'

export interface StoreProxy {
  readonly port: number
  readonly requests: number
  /** Asked for each request. */
  decide: (number: number, request: IncomingMessage) => Fate
  stop(): Promise<void>
}

const SLOW_DOWN =
  '<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Reduce your request rate</Message></Error>'

export async function startStoreProxy(targetPort: number): Promise<StoreProxy> {
  let requests = 0
  const server = createServer((from, to) => {
    requests += 1
    const fate = proxy.decide(requests, from)
    if (fate === 'drop') from.socket.resetAndDestroy()
    else if (fate === 'slow-down') {
      from.resume()
      to.writeHead(503, { 'content-type': 'application/xml' }).end(SLOW_DOWN)
    } else if (fate === 'mute') from.resume()
    else pass(targetPort, from, to, fate === 'cut-answer')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const proxy: StoreProxy = {
    port: (server.address() as AddressInfo).port,
    get requests() {
      return requests
    },
    decide: () => 'pass',
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return proxy
}

function pass(port: number, from: IncomingMessage, to: ServerResponse, isCut: boolean): void {
  const { method, url, headers } = from
  const onward = request({ port, host: '127.0.0.1', method, path: url, headers }, (answer) => {
    to.writeHead(answer.statusCode ?? 500, answer.headers)
    if (isCut) {
      answer.once('data', (chunk: Buffer) => {
        to.write(chunk.subarray(0, chunk.length >> 1), () => to.destroy())
      })
      answer.once('end', () => to.destroy())
    } else answer.pipe(to)
  })
  onward.on('error', () => to.destroy())
  from.on('error', () => onward.destroy())
  from.pipe(onward)
}
