/** The page of what was written: its figures against a plain count of the commands, and its text. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { TimeLine } from '../../src/analyze/traffic/time-line.js'
import type { TrafficReport } from '../../src/analyze/traffic/traffic.js'
import { tailRecorded } from '../../src/verbs/tail/recorded.js'
import { builtIncr, START_SECONDS, type Step } from '../helpers/archive-dirs.js'
import { interrupt, runCli } from '../helpers/cli.js'
import { startServer, waitFor } from '../helpers/servers.js'

const scratch = mkdtempSync(join(tmpdir(), 'rrep-traffic-'))
afterAll(() => rmSync(scratch, { recursive: true }))

function aofOf(name: string, steps: readonly Step[]): string {
  const path = join(scratch, name)
  writeFileSync(path, builtIncr(0, steps).bytes)
  return path
}

const command = fc.oneof(
  fc.tuple(fc.constantFrom('SET', 'APPEND'), fc.constantFrom('a:1', 'a:2', 'b', ''), fc.string()),
  fc
    .array(fc.constantFrom('a:1', 'b', 'c:1'), { minLength: 1, maxLength: 30 })
    .map((keys) => ['DEL', ...keys]),
  fc.constantFrom(['FLUSHALL'], ['FLUSHDB'], ['SWAPDB', '0', '1']),
)
const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 5000 }), command), { maxLength: 60 })

test('every figure is what a plain count of the commands says', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (made) => {
      let seconds = START_SECONDS
      const all = made.flatMap(([after, words]): Step[] => {
        seconds += after
        return [{ unixSeconds: seconds }, words]
      })
      let report: TrafficReport | undefined
      const plain: { words: string[]; bytes: number; unixMs: number; offset: number }[] = []
      await tailRecorded(aofOf('plain.aof', all), {
        traffic: { onReport: (told) => (report = told) },
        onCommand: (each, { unixMs, replOffset }) =>
          plain.push({
            words: Array.from({ length: each.argc }, (_, at) => String(each.arg(at))),
            bytes: each.end - each.start,
            unixMs,
            offset: replOffset,
          }),
      })
      const sum = (rows: readonly { commands: number; bytes: number }[]) => [
        rows.reduce((total, { commands }) => total + commands, 0),
        rows.reduce((total, { bytes }) => total + bytes, 0),
      ]
      const bytes = plain.reduce((total, each) => total + each.bytes, 0)
      const whole = [plain.length, bytes]
      expect([report!.commands, report!.bytes]).toEqual(whole)
      expect(sum(report!.bins)).toEqual(whole)
      expect(sum(report!.byCommand)).toEqual(whole)
      expect(sum(report!.byDb)).toEqual(whole)
      expect(report!.bins.length).toBeLessThanOrEqual(240)
      const [first, last] = [plain[0], plain.at(-1)]
      expect([report!.fromMs, report!.toMs]).toEqual([first?.unixMs ?? -1, last?.unixMs ?? -1])
      expect([report!.fromReplOffset, report!.toReplOffset]).toEqual([
        first?.offset ?? -1,
        last?.offset ?? -1,
      ])
      const deletes = plain.filter(({ words }) => words[0] === 'DEL')
      expect(report!.deletedKeys).toBe(deletes.reduce((n, { words }) => n + words.length - 1, 0))
      const events = plain.filter(({ words }) =>
        words[0] === 'DEL' ? words.length > 10 : /FLUSH|SWAP/.test(words[0]!),
      )
      expect(report!.events.map(({ command: name, replOffset }) => [name, replOffset])).toEqual(
        events.map(({ words, offset }) => [words[0], offset]),
      )
    }),
    { numRuns: 50 },
  )
})

test('a line of time keeps every command, whatever passes between two of them', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 4e9 }), { minLength: 1 }),
      fc.integer({ min: 1, max: 300 }),
      (gaps, most) => {
        const line = new TimeLine()
        let now = 1.7e12
        for (const gap of gaps) line.add((now += gap), 7)
        const { widthMs, bins } = line.bins(most)
        expect(bins.length).toBeLessThanOrEqual(most)
        expect(bins.reduce((sum, { commands }) => sum + commands, 0)).toBe(gaps.length)
        expect(bins.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(7 * gaps.length)
        for (const [at, bin] of bins.entries()) {
          expect(bin.fromMs).toBe(bins[0]!.fromMs + at * widthMs)
        }
        expect(now).toBeLessThan(bins.at(-1)!.fromMs + widthMs)
      },
    ),
  )
})

test('the page of an archive names what removed much, and how to have the state before', async () => {
  const file = aofOf('flush.aof', [
    { unixSeconds: START_SECONDS },
    ['SET', 'user:<b>', 'x'],
    ['SET', 'user:2', 'x'],
    { unixSeconds: START_SECONDS + 60 },
    ['FLUSHALL'],
    ['SET', 'user:3', 'x'],
  ])
  const page = join(scratch, 'flush.html')
  const { code, err } = await runCli(['tail', file, '--stats', '--html', page])
  expect(code).toBe(0)
  expect(err).toContain('flush.html: 4 write commands')
  const text = readFileSync(page, 'utf8')
  expect(text).toContain('user:&#60;b&#62;')
  expect(text).not.toContain('user:<b>')
  const before = /--until offset:(\d+)/.exec(text)!
  const shown = await runCli(['tail', file, '--until', `offset:${before[1]!}`])
  expect(shown.out.trimEnd().split('\n')).toHaveLength(2)
})

test('inspect of an archive has the traffic on its page', async () => {
  const file = aofOf('inspected.aof', [['SET', 'user:1', 'x'], ['FLUSHALL'], ['SET', 'a:1', 'x']])
  const page = join(scratch, 'inspected.html')
  expect((await runCli(['inspect', file, '--html', page])).code).toBe(0)
  const text = readFileSync(page, 'utf8')
  for (const title of ['Where the memory goes', 'By command', 'What removed much']) {
    expect(text).toContain(title)
  }
})

test('a live page is written at an interrupt, too, with what passed until then', async () => {
  const server = await startServer()
  const page = join(scratch, 'live.html')
  const controller = new AbortController()
  try {
    const args = ['tail', `127.0.0.1:${server.port}`, '--stats', '--html', page, '--json']
    const running = runCli(args, {
      signal: controller.signal,
      onStdout: (chunk) => {
        if (chunk.includes('"commands":1,')) interrupt(controller)
      },
    })
    await waitFor(async () => (await server.client.info('replication')).includes('state=online'), {
      what: 'the link',
    })
    await server.client.set('live:1', 'x')
    const { code } = await running
    expect(code).toBe(130)
    expect(readFileSync(page, 'utf8')).toContain('live:1')
  } finally {
    await server.stop()
  }
})

test.each([
  [['--html', 'x.html'], '--html needs --stats'],
  [['--stats', '--html', 'x.html', '-o', 'dir'], 'has no meaning with -o'],
])('%j is refused', async (args, message) => {
  const { code, err } = await runCli(['tail', '127.0.0.1:1', ...args])
  expect(code).toBe(2)
  expect(err).toContain(message)
})
