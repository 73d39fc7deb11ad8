/**
 * The picture of the report in README, made of the demo's dump: the page in light, and its map in
 * dark. `tsx test/report/picture.ts` writes fixtures/demo/report.png; it wants a Chromium.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { chromium } from 'playwright-core'
import { CHROMIUM_ARGS, chromiumPath } from '../helpers/chromium.js'
import { runCli } from '../helpers/cli.js'
import { FIXTURES } from '../helpers/fixtures.js'

const SIZE = { width: 860, height: 960 }

const executablePath = chromiumPath()
if (executablePath === undefined) throw new Error('there is no Chromium in PATH')
const scratch = mkdtempSync(join(tmpdir(), 'rrep-picture-'))
const browser = await chromium.launch({ executablePath, args: CHROMIUM_ARGS })
try {
  process.chdir(join(FIXTURES, 'demo'))
  const file = join(scratch, 'report.html')
  await runCli(['inspect', 'ecommerce.rdb', '--html', file])
  const shots: string[] = []
  for (const [colorScheme, place] of [
    ['light', ''],
    ['dark', '#prefixes'],
  ] as const) {
    const page = await browser.newPage({ viewport: SIZE, colorScheme, reducedMotion: 'reduce' })
    await page.goto(pathToFileURL(file).href + place)
    await page.locator('#cells .cell').first().waitFor()
    shots.push((await page.screenshot()).toString('base64'))
  }
  const both = await browser.newPage({
    viewport: { width: 2 * SIZE.width + 72, height: SIZE.height + 48 },
  })
  await both.setContent(
    `<body style="margin:0;padding:24px;display:flex;gap:24px;background:#dfe3e2">${shots
      .map((shot) => `<img src="data:image/png;base64,${shot}" style="border-radius:14px">`)
      .join('')}</body>`,
  )
  await both.locator('img').last().waitFor()
  writeFileSync(join(FIXTURES, 'demo/report.png'), await both.screenshot())
} finally {
  await browser.close()
  rmSync(scratch, { recursive: true, force: true })
}
