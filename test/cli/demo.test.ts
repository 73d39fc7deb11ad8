import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'

const FIXTURE = join(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb')

test('the demo syncs the fixture over a socket, byte for byte, and shows what came', async () => {
  const result = await runCli(['demo', '--keep'])
  const dump = /The dump is (\S+)/.exec(result.err)?.[1]
  expect(result.code, result.err).toBe(0)
  expect(dump).toBeDefined()
  expect(readFileSync(dump!).equals(readFileSync(FIXTURE))).toBe(true)
  expect(result.err).toMatch(/\$ rrep sync 127\.0\.0\.1:\d+ -o /)
  expect(result.out).toContain('hash')
  rmSync(dirname(dump!), { recursive: true })
})
