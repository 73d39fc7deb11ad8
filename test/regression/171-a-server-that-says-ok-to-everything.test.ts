/**
 * What a user saw: behind a proxy that answers what it does not know with +OK, tail ended with "is no
 * Redis server: '+OK'". It asks HELLO whether the server is a node of a cluster, and such an answer
 * says that it is none.
 */
import { expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { rdbBytes } from '../helpers/rdb-bytes.js'
import { framed, fullResync, startScriptedMaster } from '../helpers/scripted-master.js'

test('tail follows a server that says +OK to HELLO', async () => {
  const master = await startScriptedMaster({
    reply: ([name]) => (name === 'HELLO' || name === 'INFO' ? '+OK' : undefined),
    onPsync: (connection) => {
      connection.send(fullResync())
      connection.send(framed(rdbBytes({ body: Buffer.alloc(0) }), 'length'))
      connection.send('*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n')
    },
  })
  try {
    const tailed = await runCli(['tail', `127.0.0.1:${master.port}`, '--count', '1'])
    expect(tailed.code, tailed.err).toBe(0)
    expect(tailed.out).toMatch(/ db0 SET "a" "b"\n$/)
  } finally {
    await master.stop()
  }
})
