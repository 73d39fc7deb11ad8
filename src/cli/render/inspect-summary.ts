/** The summary of `inspect`: what the file is, what it holds, where the memory goes. */
import type { ChalkInstance } from 'chalk'
import type { InspectResult, KeyFacts } from '../../verbs/inspect/run.js'
import { printableText } from '../../bytes/key-text.js'
import { formatCount, formatDuration, formatSize } from '../units.js'
import { reportTables } from './inspect-report.js'
import { describeFileNotice } from './notices.js'
import { percent } from '../../bytes/figures-text.js'
import { bar, renderTable, type Column } from './inspect-table.js'

export interface SummaryLook {
  /** Colours and rules: stdout is a terminal. */
  rich: boolean
  chalk: ChalkInstance
  columns: number
  nowMs: number
  /** Prefixes of so many rows. */
  prefixRows: number
  filtered: boolean
}

const RIGHT = 'right' as const
const MIN_NAME_CHARS = 16

export function renderSummary(result: InspectResult, look: SummaryLook): string {
  const sections = [head(result, look), totals(result, look)]
  if (result.keys > 0) {
    sections.push(
      section('By type', types(result, look), look),
      section('By encoding', encodings(result, look), look),
    )
    if (result.databases.length > 1) {
      sections.push(section('By database', databases(result, look), look))
    }
    sections.push(section('By time to live', ttl(result, look), look))
    if (result.prefixes.length > 0) {
      sections.push(section('Largest prefixes', prefixes(result, look), look))
    }
    if (result.top.length > 0) sections.push(section('Largest keys', top(result, look), look))
    if (result.report !== undefined) {
      for (const [title, table] of reportTables(result.report, look)) {
        sections.push(section(title, table, look))
      }
    }
  }
  const notes = remarks(result, look)
  if (notes.length > 0) sections.push(notes.join('\n'))
  return `${sections.join('\n\n')}\n`
}

function section(title: string, table: string, { chalk }: SummaryLook): string {
  return `${chalk.bold.cyan(title)}\n${table}`
}

function head(result: InspectResult, look: SummaryLook): string {
  const { chalk } = look
  const { aux } = result
  const lines: [string, string][] = [
    ['File', `${printableText(result.file)} (${sizeText(result)})`],
    ['Format', `RDB ${result.rdbVersion}, ${result.family}`],
    ['Server', serverText(result)],
  ]
  if (result.madeMs !== undefined) {
    const made = new Date(result.madeMs).toISOString().replace('.000Z', 'Z')
    lines.push(['Made', `${made} (${ageText(look.nowMs - result.madeMs)})`])
  }
  lines.push(['Checksum', checksumText(result, chalk)])
  const usedMemory = Number(aux.get('used-mem'))
  if (usedMemory > 0) lines.push(['Memory used', `${formatSize(usedMemory)} when it was made`])
  const replId = aux.get('repl-id')
  if (replId !== undefined) {
    const at = aux.get('repl-offset') ?? '?'
    lines.push(['Replication', printableText(`${replId} at ${at}`)])
  }
  if (result.functions > 0) lines.push(['Functions', libraries(result.functions)])
  if (result.built !== undefined) lines.push(['Applied in', result.built.server])
  if (result.commandsLeftOut > 0) {
    lines.push(['Left out', `${formatCount(result.commandsLeftOut)} commands behind the snapshot`])
  }
  return definitionLines(lines, chalk)
}

function totals(result: InspectResult, { chalk, filtered }: SummaryLook): string {
  const expiring =
    result.keys === 0 ? '' : `, ${percent(result.expires / result.keys)} with an expiry`
  const lines: [string, string][] = [['Keys', `${formatCount(result.keys)}${expiring}`]]
  if (filtered) lines.push(['Left out', `${formatCount(result.filteredOut)} by the filter`])
  lines.push(
    ['Memory', `${formatSize(result.memory)} (estimated, for the server that wrote the file)`],
    ['Tables', `${formatSize(result.tableMemory)} more for the hash tables of the databases`],
  )
  return definitionLines(lines, chalk)
}

function types(result: InspectResult, look: SummaryLook): string {
  const columns: Column[] = [
    { title: 'type' },
    { title: 'keys', align: RIGHT },
    { title: 'elements', align: RIGHT, spare: 2 },
    { title: 'memory', align: RIGHT },
    { title: 'share', align: RIGHT, spare: 4 },
    ...(look.rich ? [{ title: '', spare: 1 }] : []),
    { title: 'largest', align: RIGHT, spare: 3 },
    { title: 'its key' },
  ]
  const rows = result.types.map(([name, row]) => {
    const share = part(row.memory, result.memory)
    return [
      printableText(name),
      formatCount(row.keys),
      formatCount(row.elements),
      formatSize(row.memory),
      percent(share),
      ...(look.rich ? [look.chalk.green(bar(share))] : []),
      row.largest === undefined ? '' : formatSize(row.largest.memory),
      row.largest === undefined ? '' : keyName(row.largest, look, 75),
    ]
  })
  return renderTable(columns, rows, look)
}

function encodings(result: InspectResult, look: SummaryLook): string {
  return renderTable(
    [
      { title: 'encoding' },
      { title: 'keys', align: RIGHT },
      { title: 'elements', align: RIGHT },
      { title: 'memory', align: RIGHT },
      { title: 'share', align: RIGHT, spare: 2 },
      ...(look.rich ? [{ title: '', spare: 1 }] : []),
    ],
    result.encodings.map(([name, row]) => [
      name,
      formatCount(row.keys),
      formatCount(row.elements),
      ...memoryCells(row.memory, result.memory, look),
    ]),
    look,
  )
}

/** More are not looked at one by one by anybody. */
const MAX_DATABASE_ROWS = 50

function databases(result: InspectResult, look: SummaryLook): string {
  const shown = result.databases.slice(0, MAX_DATABASE_ROWS)
  const hidden = result.databases.slice(MAX_DATABASE_ROWS)
  const table = renderTable(
    [
      { title: 'db' },
      { title: 'keys', align: RIGHT },
      { title: 'expiring', align: RIGHT },
      { title: 'memory', align: RIGHT },
      { title: 'share', align: RIGHT, spare: 2 },
      ...(look.rich ? [{ title: '', spare: 1 }] : []),
    ],
    shown.map(([db, row]) => [
      String(db),
      formatCount(row.keys),
      formatCount(row.expires),
      ...memoryCells(row.memory, result.memory, look),
    ]),
    look,
  )
  if (hidden.length === 0) return table
  const keys = hidden.reduce((sum, [, row]) => sum + row.keys, 0)
  return `${table}\n${look.rich ? ' ' : ''}and ${formatCount(hidden.length)} more databases with ${formatCount(keys)} keys (--json names them all)`
}

function ttl(result: InspectResult, look: SummaryLook): string {
  return renderTable(
    [
      { title: 'time left' },
      { title: 'keys', align: RIGHT },
      { title: 'memory', align: RIGHT },
      { title: 'share', align: RIGHT, spare: 2 },
      ...(look.rich ? [{ title: '', spare: 1 }] : []),
    ],
    result.ttl
      .filter((row) => row.keys > 0)
      .map((row) => [
        row.name === 'none' ? 'no expiry' : row.name,
        formatCount(row.keys),
        ...memoryCells(row.memory, result.memory, look),
      ]),
    look,
  )
}

function prefixes(result: InspectResult, look: SummaryLook): string {
  const room = nameRoom(look, 60)
  return renderTable(
    [
      { title: 'prefix' },
      { title: 'keys', align: RIGHT },
      { title: 'memory', align: RIGHT },
      { title: 'share', align: RIGHT, spare: 2 },
      ...(look.rich ? [{ title: '', spare: 1 }] : []),
    ],
    result.prefixes
      .slice(0, look.prefixRows)
      .map((row) => [
        printableText(row.prefix, room),
        formatCount(row.keys),
        ...memoryCells(row.memory, result.memory, look),
      ]),
    look,
  )
}

function top(result: InspectResult, look: SummaryLook): string {
  return renderTable(
    [
      { title: 'memory', align: RIGHT },
      { title: 'share', align: RIGHT, spare: 2 },
      { title: 'type', spare: 4 },
      { title: 'encoding', spare: 1 },
      { title: 'elements', align: RIGHT, spare: 3 },
      { title: 'db', align: RIGHT },
      { title: 'key' },
    ],
    result.top.map((key) => [
      formatSize(key.memory),
      percent(part(key.memory, result.memory)),
      printableText(key.type),
      key.encoding,
      formatCount(key.elements),
      String(key.dbnum),
      keyName(key, look, 65),
    ]),
    look,
  )
}

/** What a reader must know beside the figures. */
function remarks(result: InspectResult, { chalk }: SummaryLook): string[] {
  const lines: string[] = []
  if (result.mergedPrefixes > 0) {
    lines.push(
      `* stands for ${formatCount(result.mergedPrefixes)} or more names that were merged, ` +
        'since there were too many to keep apart; the figures are exact',
    )
  }
  if (result.trailingBytes > 0) {
    const size = formatSize(result.trailingBytes)
    lines.push(`${size} of commands follow the RDB (append-only file); they are not counted here`)
  }
  for (const [code, count] of Object.entries(result.notices)) {
    lines.push(chalk.yellow(`notice: ${describeFileNotice(code, count)}`))
  }
  for (const region of result.lost.slice(0, 10)) {
    lines.push(
      chalk.red(
        `lost: bytes ${region.fromByte} to ${region.toByte}` +
          `${region.key === undefined ? '' : `, key ${region.key}`}: ${region.error.message}`,
      ),
    )
    if (!region.dbnumCertain) {
      lines.push(chalk.red('      keys behind it may belong to another database'))
    }
  }
  if (result.lostRegions > 10) {
    lines.push(chalk.red(`lost: ${formatCount(result.lostRegions - 10)} more stretches`))
  }
  if (!result.complete && result.lostRegions === 0) {
    lines.push(chalk.red('the file is damaged: the figures are of what came before the damage'))
  }
  return lines
}

function memoryCells(memory: number, whole: number, look: SummaryLook): string[] {
  const share = part(memory, whole)
  return [formatSize(memory), percent(share), ...(look.rich ? [look.chalk.green(bar(share))] : [])]
}

function definitionLines(lines: readonly [string, string][], chalk: ChalkInstance): string {
  const width = Math.max(...lines.map(([name]) => name.length))
  return lines.map(([name, value]) => `${chalk.bold(name.padEnd(width))}  ${value}`).join('\n')
}

function keyName(key: KeyFacts, look: SummaryLook, taken: number): string {
  return key.key.length === 0 ? '""' : printableText(key.key, nameRoom(look, taken))
}

/** A terminal has only so many columns; a pipe gets names whole up to a sane length. */
function nameRoom(look: SummaryLook, taken: number): number {
  return look.rich ? Math.max(MIN_NAME_CHARS, look.columns - taken) : 200
}

function part(value: number, whole: number): number {
  return whole === 0 ? 0 : value / whole
}

function sizeText(result: InspectResult): string {
  const packed = result.compression === 'none' ? '' : `, ${result.compression}`
  return `${formatSize(result.bytes)}${packed}`
}

function checksumText(result: InspectResult, chalk: ChalkInstance): string {
  switch (result.checksum) {
    case 'ok':
      return chalk.green('ok')
    case 'absent':
      return 'absent (the server wrote none)'
    case 'bad':
      return chalk.red('bad')
    case 'unchecked':
      return chalk.red('not reached')
  }
}

function libraries(count: number): string {
  return count === 1 ? '1 library' : `${formatCount(count)} libraries`
}

/** What wrote it. */
export function serverText({ aux, family }: InspectResult): string {
  const server = aux.has('valkey-ver')
    ? `Valkey ${aux.get('valkey-ver')!}`
    : aux.has('redis-ver')
      ? `Redis ${aux.get('redis-ver')!}`
      : `${family === 'valkey' ? 'Valkey' : 'Redis'}, version not said`
  return printableText(server)
}

function ageText(ms: number): string {
  return ms >= 0 ? `${formatDuration(ms)} ago` : `in ${formatDuration(-ms)}`
}
