/**
 * Keeps what V8 made of the bundle (argument 1: its directory) while it ran the usual commands over
 * a file (argument 2), for start.cjs.
 */
'use strict'
const { writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { Readable, Writable } = require('node:stream')

const [, , directory, file] = process.argv
const { main, codeToKeep } = require(join(directory, 'start.cjs'))

const RUNS = [
  ['--help'],
  ['inspect', file, '--check'],
  ['inspect', file],
  ['export', file, '--format', 'jsonl'],
  ['demo'],
]

function silent() {
  return new Writable({ write: (_chunk, _encoding, done) => done() })
}

async function keep() {
  for (const argv of RUNS) {
    const code = await main(argv, {
      stdin: Readable.from([]),
      stdout: silent(),
      stderr: silent(),
      env: {},
      stdinIsTty: false,
      stdoutIsTty: false,
      stderrIsTty: false,
      columns: undefined,
      signal: new AbortController().signal,
      onHangup: () => () => undefined,
    })
    if (code !== 0) throw new Error(`rrep ${argv.join(' ')}: exit code ${code}`)
  }
  writeFileSync(join(directory, 'run.cache'), codeToKeep())
}

keep().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
