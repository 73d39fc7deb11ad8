/** A master and the replica that is promoted in its place, without what the master sent last. */
import { makeServerSettings, type ServerSettings } from '../../src/net/make-server-settings.js'
import { follow } from './serving.js'
import { freePort, startServer, type ServerBinary, type TestServer } from './servers.js'

export interface FailingOver {
  master: TestServer
  heir: TestServer
  /** Whoever is the master, as Sentinels would say. */
  source: ServerSettings
  /** The heir gets nothing more; what is written now reaches the others alone. */
  cutOff(): Promise<void>
  /** The master dies, the heir is the master. */
  promote(): Promise<void>
  stop(): Promise<void>
}

export async function startFailingOver(binary: ServerBinary): Promise<FailingOver> {
  const [master, heir] = await Promise.all([startServer({ binary }), startServer({ binary })])
  await master.client.set('before', '1')
  await follow(heir, master.port)
  let { port } = master
  return {
    master,
    heir,
    source: {
      ...makeServerSettings(`127.0.0.1:${master.port}`),
      locate: () => Promise.resolve({ host: '127.0.0.1', port }),
    },
    cutOff: async () => {
      await heir.client.replicaof('127.0.0.1', await freePort())
    },
    promote: async () => {
      await master.kill()
      await heir.client.replicaof('NO', 'ONE')
      port = heir.port
      await heir.client.set('after', '1')
    },
    stop: async () => {
      await Promise.all([master.stop(), heir.stop()])
    },
  }
}
