/**
 * A live replay published what the Sentinels of the source tell each other in the target, whose own
 * Sentinels would have taken them for theirs.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { replay } from '../../src/index.js'
import { startServer } from '../helpers/servers.js'

const HELLO = '__sentinel__:hello'

test('what clients publish arrives, what Sentinels publish does not, and is counted', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-240-'))
  const [source, target] = await Promise.all([startServer(), startServer()])
  const listener = target.client.duplicate()
  const seen: string[] = []
  const end = new AbortController()
  try {
    await listener.subscribe(HELLO, 'news')
    listener.on('message', (channel: string) => seen.push(channel))
    const running = replay(`redis://127.0.0.1:${source.port}`, `redis://127.0.0.1:${target.port}`, {
      spoolDir: dir,
      signal: end.signal,
    })
    while (!seen.includes('news')) {
      await source.client.publish(HELLO, '127.0.0.1,26379,id,0,name,127.0.0.1,6379,0')
      await source.client.publish('news', 'x')
      await sleep(10)
    }
    end.abort()
    const { ledger, complete } = await running
    expect(complete).toBe(true)
    expect(seen).not.toContain(HELLO)
    expect(ledger.commands.leftOut['PUBLISH of a Sentinel']).toBeGreaterThan(0)
  } finally {
    listener.disconnect()
    await Promise.all([source.stop(), target.stop()])
    rmSync(dir, { recursive: true, force: true })
  }
})
