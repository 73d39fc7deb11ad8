/**
 * Makes dist/man/rrep.1 of what the commands say with --help, so that a page cannot say other things.
 * `npm run build:man`, behind the compiler's own run.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'

const root = join(import.meta.dirname, '..', '..')
const { registerCommands } = await import(join(root, 'dist', 'cli', 'commands', 'index.js'))
const { version, description } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

const program = new Command('rrep')
await registerCommands(program, { action: () => () => undefined })
const page = [
  `.TH RREP 1 "" "rrep ${version}" "User Commands"`,
  '.SH NAME',
  `rrep \\- ${escaped(description)}`,
  '.SH SYNOPSIS',
  '.B rrep',
  '.I COMMAND',
  '[options]',
]
for (const command of program.commands) {
  page.push(`.SH RREP ${command.name().toUpperCase()}`, ...helpOf(command))
  for (const inner of command.commands.filter((each) => each.name() !== 'help')) {
    page.push(`.SS rrep ${command.name()} ${inner.name()}`, ...helpOf(inner))
  }
}
mkdirSync(join(root, 'dist', 'man'), { recursive: true })
writeFileSync(join(root, 'dist', 'man', 'rrep.1'), `${page.join('\n')}\n`)

function helpOf(command) {
  let text = ''
  const take = (part) => (text += part)
  command.configureOutput({ writeOut: take, getOutHelpWidth: () => 78 })
  command.outputHelp()
  const body = text.split('\nExit status:')[0].trimEnd()
  return ['.nf', ...body.split('\n').map((line) => escaped(line)), '.fi']
}

/** What begins as a request, or with a backslash, is text here. */
function escaped(line) {
  return line
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^(?=[.'])/, '\\&')
}
