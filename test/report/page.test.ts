/** The page in a browser: what it does, what it never does, and whether everybody can use it. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import axe from 'axe-core'
import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CHROMIUM_ARGS, chromiumPath } from '../helpers/chromium.js'
import { runCli } from '../helpers/cli.js'
import { FIXTURES } from '../helpers/fixtures.js'
import { dumpOfNames, HOSTILE_NAMES } from '../helpers/hostile-names.js'

const executablePath = chromiumPath()
const scratch = mkdtempSync(join(tmpdir(), 'rrep-page-'))
const demo = join(scratch, 'demo.html')
const hostile = join(scratch, 'hostile.html')
const traffic = join(scratch, 'traffic.html')
const grown = join(scratch, 'grown.html')

async function write(dump: string, page: string): Promise<void> {
  const { code, err } = await runCli(['inspect', dump, '--html', page])
  expect([code, err]).toEqual([0, expect.stringContaining(page)])
}

afterAll(() => rmSync(scratch, { recursive: true, force: true }))

/** What a page must never do is kept, to be looked at in the end. */
interface Watched {
  page: Page
  faults: string[]
}

describe.skipIf(executablePath === undefined)('the report in Chromium', () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: executablePath!, args: CHROMIUM_ARGS })
    await write(join(FIXTURES, 'demo/ecommerce.rdb'), demo)
    const dump = join(scratch, 'hostile.rdb')
    writeFileSync(dump, dumpOfNames(HOSTILE_NAMES))
    await write(dump, hostile)
    const words = (...args: (string | Buffer)[]): Buffer[] => [
      Buffer.from(`*${args.length}\r\n`),
      ...args.flatMap((arg) => [
        Buffer.from(`$${Buffer.byteLength(arg)}\r\n`),
        Buffer.from(arg),
        Buffer.from('\r\n'),
      ]),
    ]
    const commands = HOSTILE_NAMES.flatMap((name, at) => [
      Buffer.from(`#TS:${1_795_341_600 + at * 60}\r\n`),
      ...words('SET', name, 'v'),
      ...words('DEL', ...Array.from({ length: 12 }, () => name)),
    ])
    const aof = join(scratch, 'hostile.aof')
    writeFileSync(aof, Buffer.concat(commands))
    expect((await runCli(['tail', aof, '--stats', '--html', traffic])).code).toBe(0)
    const args = ['inspect', join(FIXTURES, 'demo/ecommerce.rdb'), '--compare', dump]
    expect((await runCli([...args, '--html', grown])).code).toBe(0)
  })
  afterAll(async () => {
    await browser.close()
  })

  async function open(
    file: string,
    options: Parameters<Browser['newPage']>[0] = {},
    place = '',
  ): Promise<Watched> {
    const page = await browser.newPage({ viewport: { width: 1400, height: 900 }, ...options })
    const faults: string[] = []
    const address = pathToFileURL(file).href
    page.on('console', (message) => faults.push(`console: ${message.text()}`))
    page.on('pageerror', (error) => faults.push(`error: ${error.message}`))
    page.on('dialog', (dialog) => {
      faults.push(`dialog: ${dialog.message()}`)
      void dialog.dismiss()
    })
    page.on('request', (request) => {
      if (request.url().split('#')[0] !== address) faults.push(`request: ${request.url()}`)
    })
    await page.goto(address + place)
    return { page, faults }
  }

  async function violations(page: Page): Promise<string[]> {
    await page.evaluate(axe.source)
    return await page.evaluate(async () => {
      const { violations: found } = await (globalThis as unknown as { axe: typeof axe }).axe.run()
      return found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
    })
  }

  const cell = (page: Page, name: string) => page.locator('#cells .cell', { hasText: name })
  const crumbs = (page: Page) => page.locator('#crumbs')

  test('a place in the map is in the address, by mouse, keyboard and link', async () => {
    const { page, faults } = await open(demo)
    await cell(page, 'leaderboard:').click()
    expect(page.url()).toMatch(/#p=leaderboard%3A$/)
    await expect.poll(() => crumbs(page).innerText()).toContain('leaderboard:')
    await expect.poll(() => page.locator('#prefix-table').innerText()).toContain('week:')
    await page.goBack()
    await expect.poll(() => crumbs(page).innerText()).toBe('all keys')
    await cell(page, 'leaderboard:').focus()
    await page.keyboard.press('Enter')
    await expect.poll(() => crumbs(page).innerText()).toContain('leaderboard:')
    await crumbs(page).locator('a').first().click()
    await expect.poll(() => crumbs(page).innerText()).toBe('all keys')
    expect(faults).toEqual([])

    const sent = await open(demo, {}, '#p=leaderboard%3A')
    await expect.poll(() => crumbs(sent.page).innerText()).toContain('leaderboard:')
    expect(sent.faults).toEqual([])
  })

  test('a key is found where its prefix is, and what is not there is told', async () => {
    const { page, faults } = await open(demo)
    const find = page.getByLabel('Find a key or prefix')
    await find.fill('leaderboard:week:3')
    await find.press('Enter')
    await expect.poll(() => crumbs(page).innerText()).toContain('leaderboard:')
    await find.fill('no such key')
    await find.press('Enter')
    await expect.poll(() => page.getByRole('status').innerText()).toContain('no such key')
    expect(faults).toEqual([])
  })

  test('the area is memory or keys', async () => {
    const { page } = await open(demo)
    const width = async (): Promise<number> => (await cell(page, 'no prefix').boundingBox())!.width
    const before = await width()
    await page.getByRole('radio', { name: 'Keys' }).check({ force: true })
    await expect.poll(width).toBeLessThan(before)
  })

  test('light and dark follow the system until they are switched', async () => {
    const paper = (page: Page): Promise<string> =>
      page.evaluate<string>('getComputedStyle(document.documentElement).backgroundColor')
    const light = await open(demo, { colorScheme: 'light' })
    const dark = await open(demo, { colorScheme: 'dark' })
    const [inLight, inDark] = [await paper(light.page), await paper(dark.page)]
    expect(inLight).not.toBe(inDark)
    await light.page.getByRole('button', { name: 'Dark' }).click()
    expect(await paper(light.page)).toBe(inDark)
    await light.page.getByRole('button', { name: 'Light' }).click()
    expect(await paper(light.page)).toBe(inLight)
  })

  test.each([
    [1400, 'light'],
    [400, 'dark'],
  ] as const)('at %i pixels, %s: axe finds nothing, nothing sticks out', async (width, look) => {
    for (const file of [demo, hostile, traffic, grown]) {
      const { page, faults } = await open(file, {
        viewport: { width, height: 900 },
        colorScheme: look,
      })
      await page.evaluate(
        'for (const each of document.querySelectorAll("details")) each.open = true',
      )
      expect(await violations(page)).toEqual([])
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width)
      expect(faults).toEqual([])
    }
  })

  test('it reads without its script', async () => {
    const { page } = await open(demo, { javaScriptEnabled: false })
    await expect.poll(() => page.locator('#prefix-table').innerText()).toContain('session:')
    expect(await page.locator('#map').isVisible()).toBe(false)
    expect(await page.locator('#theme').isVisible()).toBe(false)
  })

  test('hostile names are text and nothing else', async () => {
    const { page, faults } = await open(hostile)
    const seen = await page.locator('body').innerText()
    expect(seen).toContain('<script>alert(1)</script>')
    expect(seen).toContain('\\xe2\\x80\\xae')
    expect(seen).toContain('\\x1b[2J')
    // eslint-disable-next-line no-control-regex -- that is the question
    expect(/[\0-\x08\x0b-\x1f\x7f\u202a-\u202e\u2028\u2029]/.test(seen)).toBe(false)
    const made = await page.evaluate(
      '({ scripts: document.scripts.length, images: document.images.length, polluted: "polluted" in {} })',
    )
    expect(made).toEqual({ scripts: 2, images: 0, polluted: false })
    for (const each of await page.locator('#cells button').all()) await each.hover()
    await page.getByLabel('Find a key or prefix').fill('<script>alert(1)</script>:')
    await page.getByLabel('Find a key or prefix').press('Enter')
    expect(faults).toEqual([])
    // The longest names are cut, not carried.
    expect(statSync(hostile).size).toBeLessThan(400_000)
  })

  test('with 30,000 prefixes it is below 3 MB and soon there', async () => {
    const names = Array.from({ length: 90_000 }, (_, at) => {
      const module = at % 30_000
      return Buffer.from(`service-${module % 200}:region-${module % 1000}:module-${module}:${at}`)
    })
    const dump = join(scratch, 'many.rdb')
    const file = join(scratch, 'many.html')
    writeFileSync(dump, dumpOfNames(names, 10))
    await write(dump, file)
    expect(statSync(file).size).toBeGreaterThan(800_000)
    expect(statSync(file).size).toBeLessThan(3_000_000)
    const { page, faults } = await open(file)
    await page.locator('#cells button').first().click()
    await expect.poll(() => crumbs(page).innerText()).toContain('service-')
    const readyMs = await page.evaluate<number>(
      'performance.timing.domComplete - performance.timing.navigationStart',
    )
    expect(readyMs).toBeLessThan(5000)
    expect(faults).toEqual([])
  })
})
