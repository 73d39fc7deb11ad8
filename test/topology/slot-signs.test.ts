import { expect, test } from 'vitest'
import { CommandDecoder } from '../../src/resp/decoder.js'
import { encodeCommand } from '../../src/resp/encoder.js'
import { SlotSigns, type SlotSign } from '../../src/topology/slot-signs.js'
import { keySlot } from '../../src/topology/key-slot.js'

const [T, A, B] = ['1', 'a', 'b'].map((letter) => letter.repeat(40)) as [string, string, string]

function signsOf(...commands: string[]): (SlotSign | undefined)[] {
  const signs = new SlotSigns()
  return commands.map((text) => {
    const decoder = new CommandDecoder()
    const bytes = encodeCommand(...(text.split('|') as [string, ...string[]]))
    decoder.feed(bytes, 0, bytes.length)
    decoder.next()
    return signs.read(decoder)
  })
}

test('a key by MIGRATE', () => {
  const slot = keySlot(Buffer.from('user:1'))
  expect(signsOf('RESTORE-ASKING|user:1|0|payload', 'RESTORE|user:1|0|payload')).toEqual([
    { kind: 'key', slots: [[slot, slot]] },
    undefined,
  ])
})

test('slots by a task of Redis: as it begins, and how it ends', () => {
  const slots = [
    [0, 9],
    [20, 29],
  ]
  const task = (state: string): string =>
    `CLUSTER|SYNCSLOTS|CONF|ASM-TASK|${T}:${A}:${B}:${state}:0-9 20-29`
  expect(
    signsOf(
      task('import:connecting'),
      task('import:completed'),
      task('migrate:completed'),
      task('import:failed'),
      'CLUSTER|SYNCSLOTS|CONF|SLOT-INFO|0:4:0',
    ),
  ).toEqual([
    { kind: 'coming', from: A, slots },
    { kind: 'slots', from: A, slots },
    undefined,
    { kind: 'failed', slots },
    undefined,
  ])
})

test('slots by a job of Valkey: its end does not repeat which they were', () => {
  const coming = { kind: 'coming', slots: [[5, 9]], from: A }
  const begin = `CLUSTER|SYNCSLOTS|ESTABLISH|SOURCE|${A}|NAME|J|SLOTSRANGE|5|9`
  const end = (state: string): string => `CLUSTER|SYNCSLOTS|FINISH|STATE|${state}|NAME|J|MESSAGE|x`
  expect(signsOf(begin, 'CLUSTER|SYNCSLOTS|ACK', end('SUCCESS'))).toEqual([
    coming,
    undefined,
    { kind: 'slots', slots: [[5, 9]], from: A },
  ])
  expect(signsOf(begin, end('FAILED'), end('SUCCESS'))).toEqual([
    coming,
    { kind: 'failed', slots: [[5, 9]] },
    undefined,
  ])
})

test('what deletes the keys of slots', () => {
  expect(
    signsOf(
      'TRIMSLOTS|RANGES|2|0|9|20|29',
      'CLUSTER|FLUSHSLOT|7|SYNC',
      'TRIMSLOTS|RANGES|1|0|99999',
      'CLUSTER|SETSLOT|7|STABLE',
    ),
  ).toEqual([
    {
      kind: 'deleted',
      slots: [
        [0, 9],
        [20, 29],
      ],
    },
    { kind: 'deleted', slots: [[7, 7]] },
    undefined,
    undefined,
  ])
})
