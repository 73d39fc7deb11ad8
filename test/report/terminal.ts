/**
 * The terminal in README, from a real run: a server with the demo's data and a real terminal. `tsx test/report/terminal.ts` writes fixtures/demo/terminal.svg; it wants redis-server and
 * a built rrep.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCli } from '../helpers/cli.js'
import { FIXTURES } from '../helpers/fixtures.js'
import { spawnInPty } from '../helpers/pty.js'
import { screenOf, type Cell } from '../helpers/screen.js'
import { startServer } from '../helpers/servers.js'

/** As it is built: what is run is what is installed. */
const RREP = [process.execPath, join(import.meta.dirname, '../../bin/rrep.js')]
const COLUMNS = 100
const ROWS = 30
const CHAR = 8.4
const LINE = 19
const MARGIN = 20
const SECONDS_EACH = 6

const COLOURS: Readonly<Record<string, string>> = {
  31: '#ff8a80',
  32: '#7bd88f',
  33: '#e0b341',
  34: '#7aa2f7',
  36: '#5cc4bc',
  90: '#7c848b',
}

const SOURCE = '127.0.0.1:PORT'

/** What stands on one screen: as it is shown, and as it is run. */
const SCENES: readonly (readonly [string, readonly string[]])[][] = [
  [
    ['rrep sync db.example -o dump.rdb', ['sync', SOURCE, '-o', 'dump.rdb']],
    ['rrep diff dump.rdb db.example', ['diff', 'dump.rdb', SOURCE]],
    [
      'rrep backup db.example --to backups --keep-daily 7 --prove',
      ['backup', SOURCE, '--to', 'backups', '--keep-daily', '7', '--prove', '--name', 'shop'],
    ],
    ['rrep inspect backups@latest --check', ['inspect', 'backups@latest', '--check']],
  ],
  [['rrep inspect dump.rdb --top 5', ['inspect', 'dump.rdb', '--top', '5']]],
]

/** The rows of each screen. */
async function play(): Promise<Cell[][][]> {
  const scratch = mkdtempSync(join(tmpdir(), 'rrep-terminal-'))
  const home = process.cwd()
  const server = await startServer()
  const address = `127.0.0.1:${server.port}`
  try {
    await runCli(['replay', join(FIXTURES, 'demo/ecommerce.rdb'), address])
    process.chdir(scratch)
    const screens: Cell[][][] = []
    for (const scene of SCENES) {
      const rows: Cell[][] = []
      for (const [shown, args] of scene) {
        const words = args.map((arg) => (arg === SOURCE ? address : arg))
        const terminal = await spawnInPty(words, { columns: COLUMNS, command: RREP })
        const { code, screen } = await terminal.ended
        if (code !== 0) throw new Error(`${shown} ended with ${code}:\n${screen}`)
        const text = Buffer.from(screen, 'latin1').toString('utf8')
        rows.push([...cellsOf('$ ', '32'), ...cellsOf(shown, '1')])
        rows.push(
          ...screenOf(
            text.trimEnd().replaceAll(address, 'db.example:6379').replaceAll(`${scratch}/`, ''),
          ).flatMap(wrapped),
          [],
        )
      }
      screens.push(rows)
    }
    return screens
  } finally {
    process.chdir(home)
    await server.stop()
    rmSync(scratch, { recursive: true, force: true })
  }
}

function wrapped(row: Cell[]): Cell[][] {
  const rows: Cell[][] = [row.slice(0, COLUMNS)]
  for (let from = COLUMNS; from < row.length; from += COLUMNS) {
    rows.push(row.slice(from, from + COLUMNS))
  }
  return rows
}

function escape(text: string): string {
  return text.replace(/[&<>]/g, (char) => `&#${char.charCodeAt(0)};`)
}

function look(style: string): string {
  const codes = style.split(';')
  const colour = codes.map((code) => COLOURS[code]).find((each) => each !== undefined)
  return (
    (colour === undefined ? '' : ` fill="${colour}"`) +
    (codes.includes('1') ? ' font-weight="700"' : '') +
    (codes.includes('2') ? ' opacity="0.5"' : '')
  )
}

/** Runs of one look, each where its columns are, whatever font there is. */
function lineOf(cells: readonly Cell[], row: number): string {
  const y = MARGIN + 44 + row * LINE
  let out = ''
  for (let from = 0; from < cells.length;) {
    let to = from
    while (to < cells.length && cells[to]!.style === cells[from]!.style) to += 1
    const text = cells.slice(from, to).map(({ char }) => char)
    if (text.join('').trim() !== '') {
      out += `<text x="${(MARGIN + from * CHAR).toFixed(1)}" y="${y}" textLength="${((to - from) * CHAR).toFixed(1)}"${look(cells[from]!.style)}>${escape(text.join(''))}</text>`
    }
    from = to
  }
  return out
}

function cellsOf(text: string, style: string): Cell[] {
  return Array.from(text, (char) => ({ char, style }))
}

function sceneOf(rows: readonly Cell[][], at: number): string {
  const shown = rows.slice(0, ROWS)
  if (rows.length > ROWS) shown[ROWS - 1] = cellsOf('…', '2')
  const lines = shown.map(lineOf).join('')
  return `<g class="scene" style="animation-delay:${at * SECONDS_EACH}s">${lines}</g>`
}

function svgOf(scenes: readonly Cell[][][]): string {
  const width = Math.round(2 * MARGIN + COLUMNS * CHAR)
  const height = 2 * MARGIN + 30 + ROWS * LINE
  const whole = scenes.length * SECONDS_EACH
  const share = 100 / scenes.length
  const style =
    `svg{font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:14px}` +
    `text{white-space:pre}` +
    `.scene{opacity:0;animation:show ${whole}s infinite}` +
    `@keyframes show{0%{opacity:0}1%,${(share - 1).toFixed(1)}%{opacity:1}${share.toFixed(1)}%,100%{opacity:0}}` +
    `@media(prefers-reduced-motion:reduce){.scene{animation:none}.scene:nth-of-type(2){opacity:1}}`
  const lights = ['#ff5f57', '#febc2e', '#28c840']
    .map((colour, at) => `<circle cx="${MARGIN + 6 + at * 20}" cy="22" r="6" fill="${colour}"/>`)
    .join('')
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" fill="#e9e7e2" role="img" ` +
    `aria-label="rrep sync, inspect and diff in a terminal"><style>${style}</style>` +
    `<rect width="${width}" height="${height}" rx="10" fill="#14171a"/>${lights}` +
    `${scenes.map(sceneOf).join('')}</svg>\n`
  )
}

writeFileSync(join(FIXTURES, 'demo/terminal.svg'), svgOf(await play()))
