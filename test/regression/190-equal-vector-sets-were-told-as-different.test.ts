/** A replica draws the graph of a vector set anew: that is no difference of the data. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { serverBinary, startServer, waitFor, type TestServer } from '../helpers/servers.js'

const binary = serverBinary('redis-8')

describe.skipIf(binary === undefined)('vector sets of a master and its replica', () => {
  let master: TestServer
  let replica: TestServer
  beforeAll(async () => {
    master = await startServer({ binary: binary! })
    replica = await startServer({ binary: binary! })
    for (let i = 0; i < 20; i += 1) {
      const vector = ['VALUES', '3', `${i}.5`, `-${i * i}`, `${40 - i}`, `e${i}`]
      const attribute = i % 3 === 0 ? ['SETATTR', `{"y":${i}}`] : []
      await master.client.call('VADD', 'quantized', ...vector, ...attribute)
      await master.client.call('VADD', 'reduced', 'REDUCE', '2', ...vector, 'NOQUANT')
      await master.client.call('VADD', 'binary', ...vector, 'BIN')
    }
    await replica.client.call('REPLICAOF', '127.0.0.1', String(master.port))
    await waitFor(async () => (await replica.client.dbsize()) === 3, { what: 'a full sync' })
  })
  afterAll(async () => {
    await master.stop()
    await replica.stop()
  })

  function compare(): ReturnType<typeof runCli> {
    const address = (server: TestServer): string => `127.0.0.1:${server.port}`
    return runCli(['diff', address(master), address(replica), '--values'])
  }

  test('are the same', async () => {
    expect((await compare()).code).toBe(0)
  })

  test('differ by the element or attribute that was changed, which is named', async () => {
    await replica.client.call('REPLICAOF', 'NO', 'ONE')
    await replica.client.call('VSETATTR', 'quantized', 'e4', '{"z":1}')
    await replica.client.call('VREM', 'reduced', 'e3')
    const { code, out } = await compare()
    expect(code).toBe(7)
    expect(out).toMatch(/element "e4": .* → "attribute /)
    expect(out).toMatch(/element "e3": .*only in A/)
    expect(out).not.toContain('e5')
    expect(out).not.toContain('binary')
  })
})
