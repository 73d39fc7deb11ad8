/**
 * Keeps what V8 made of the bundle (argument 1: its directory) while it ran usual commands over a
 * file (argument 2), for start.cjs. What each command needs is kept by itself, since what is kept
 * has to be read.
 */
'use strict'
const { spawnSync } = require('node:child_process')
const { readFileSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { Readable, Writable } = require('node:stream')
const { crc32 } = require('node:zlib')

const [, , directory, file, name] = process.argv
const RUNS = {
  inspect: [
    ['inspect', file, '--check'],
    ['inspect', file],
  ],
  export: [['export', file, '--format', 'jsonl']],
  demo: [['demo']],
  run: [['--help']],
}

function silent() {
  return new Writable({ write: (_chunk, _encoding, done) => done() })
}

async function keep(runs) {
  const { main, codeToKeep } = require(join(directory, 'start.cjs'))
  for (const argv of runs) {
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
  const code = codeToKeep()
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32LE(crc32(code, crc32(readFileSync(join(directory, 'run.js')))))
  writeFileSync(join(directory, `${name}.cache`), Buffer.concat([code, checksum]))
}

if (name === undefined) {
  // A process each: what it has run and nothing else is kept. The rest last, which all would take.
  for (const each of Object.keys(RUNS)) {
    const args = [__filename, directory, file, each]
    const { status } = spawnSync(process.execPath, args, {
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    if (status !== 0) process.exitCode = 1
  }
} else {
  keep(RUNS[name]).catch((error) => {
    console.error(error)
    process.exitCode = 1
  })
}
