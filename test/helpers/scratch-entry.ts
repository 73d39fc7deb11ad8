/** Starts a scratch server, says where, and waits to be killed. */
import { startScratchServer } from '../../src/source/scratch-server.js'

const server = await startScratchServer({})
process.stdout.write(`${server.settings.address.socketPath ?? ''}\n`)
setInterval(() => undefined, 1000)
