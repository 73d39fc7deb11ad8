/** Keys by their slot, in a server that knows of no slots. */
import { ControlClient } from '../net/control.js'
import type { ServerSettings } from '../net/server-settings.js'
import { keySlot } from '../topology/key-slot.js'

const SCAN_COUNT = '5000'

/** Of every database. Returns how many were deleted. */
export async function deleteKeys(
  server: ServerSettings,
  isGone: (key: Buffer, slot: number, dbnum: number) => boolean,
  signal?: AbortSignal,
): Promise<number> {
  const client = await ControlClient.open(server, signal)
  let deleted = 0
  try {
    const dbs = [...(await client.info('keyspace')).keys()].flatMap((field) => {
      const found = /^db(\d+)$/.exec(field)
      return found === null ? [] : [Number(found[1])]
    })
    for (const dbnum of dbs) {
      await client.call('SELECT', dbnum)
      let cursor = '0'
      do {
        const reply = (await client.callBuffer('SCAN', cursor, 'COUNT', SCAN_COUNT)) as [
          Buffer,
          Buffer[],
        ]
        cursor = reply[0].toString()
        const gone = reply[1].filter((key) => isGone(key, keySlot(key), dbnum))
        // A scan may tell of a key twice.
        if (gone.length > 0) deleted += Number(await client.callBuffer('UNLINK', ...gone))
      } while (cursor !== '0')
    }
  } finally {
    client.close()
  }
  return deleted
}
