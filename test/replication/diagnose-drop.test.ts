import { expect, test } from 'vitest'
import { explainDrop } from '../../src/replication/diagnose-drop.js'
import { parseInfo } from '../../src/net/info.js'

const DROP = { elapsedMs: 12_000, snapshotBytes: 5_000_000, streamKept: true }
const LIMIT = [
  'client-output-buffer-limit',
  'normal 0 0 0 slave 268435456 67108864 60 pubsub 1 2 3',
]

function explain(info: string, config: readonly (readonly string[])[] = [LIMIT], drop = DROP) {
  return explainDrop({ info: parseInfo(info), config: new Map(config as [string, string][]) }, drop)
}

test('an uptime shorter than the sync is a restart, with both figures', () => {
  const found = explain('uptime_in_seconds:3\r\n')
  expect(found.cause).toBe('restarted')
  expect(found.what).toContain('runs for 3 s')
  expect(found.what).toContain('12 s ago')
})

test('a server that loads was restarted', () => {
  expect(explain('uptime_in_seconds:30\r\nloading:1\r\n').cause).toBe('restarted')
})

test('clients cut for their buffer are the reason where they are counted, with what to set', () => {
  const found = explain('uptime_in_seconds:900\nclient_output_buffer_limit_disconnections:2\n')
  expect(found.cause).toBe('output-buffer-limit')
  expect(found.what).toContain('closed 2 clients')
  expect(found.what).toContain('268435456 bytes, or 67108864 for 60 s')
  expect(found.advice).toContain(
    'CONFIG SET client-output-buffer-limit "replica 1073741824 268435456 60"',
  )
})

test('a failed save is named', () => {
  const found = explain('uptime_in_seconds:900\nrdb_last_bgsave_status:err\n')
  expect(found.cause).toBe('save-failed')
})

test('a transfer older than repl-timeout may have been given up', () => {
  const config = [LIMIT, ['repl-timeout', '10']]
  const found = explain('uptime_in_seconds:900\nrdb_last_bgsave_status:ok\n', config)
  expect(found.cause).toBe('timeout')
  expect(found.advice).toContain('CONFIG SET repl-timeout 50')
})

test('without a counter the buffer limit is the usual reason; with one at zero it is not', () => {
  const old = explain('uptime_in_seconds:900\nrdb_last_bgsave_status:ok\n')
  expect(old.cause).toBe('output-buffer-limit')
  expect(old.what).toContain('most likely')
  const counted = 'uptime_in_seconds:900\nclient_output_buffer_limit_disconnections:0\n'
  expect(explain(counted).cause).toBe('unknown')
})

test('where the master kept no stream for us its buffer is not blamed', () => {
  const drop = { ...DROP, streamKept: false }
  const found = explain('uptime_in_seconds:900\nrdb_last_bgsave_status:ok\n', [LIMIT], drop)
  expect(found.cause).toBe('unknown')
  expect(found.what).toContain('it kept no buffer for us')
})

test('nothing told is nothing claimed', () => {
  expect(explain('').cause).toBe('unknown')
})
