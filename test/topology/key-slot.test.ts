import { expect, test } from 'vitest'
import fc from 'fast-check'
import { keySlot, slotSet, tagIn } from '../../src/topology/key-slot.js'
import { startServer } from '../helpers/servers.js'

test('slots are those that a server gives', async () => {
  const node = await startServer({ args: ['--cluster-enabled', 'yes'] })
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.constantFrom('{', '}', '{}', 'a'), fc.string()), { maxLength: 6 }),
        async (parts) => {
          const key = Buffer.from(parts.join(''))
          const slot = await node.client.call('CLUSTER', 'KEYSLOT', key)
          expect(keySlot(key)).toBe(slot)
        },
      ),
      { numRuns: 500 },
    )
    for (const key of ['{}a', 'a{}b{c}', '{{a}}', '{a', '}a{b}', '']) {
      expect(keySlot(Buffer.from(key))).toBe(await node.client.call('CLUSTER', 'KEYSLOT', key))
    }
  } finally {
    await node.stop()
  }
})

test('every slot has a short tag', () => {
  for (const slot of [0, 1, 5461, 10_922, 16_383]) {
    const tag = tagIn(slotSet([[slot, slot]]))
    expect(keySlot(Buffer.from(`anything:{${tag}}`))).toBe(slot)
    expect(tag.length).toBeLessThanOrEqual(5)
  }
})
