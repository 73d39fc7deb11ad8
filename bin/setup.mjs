// Brings what `npm run demo` and `npm test` need on a fresh machine: the packages, an up-to-date
// build and, with --servers, redis-server and its tools. Plain JavaScript without dependencies,
// since it runs before anything is installed. Does nothing where nothing is missing.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const stamp = join(root, 'dist', '.built')

function say(line) {
  process.stderr.write(`setup: ${line}\n`)
}

function run(command, args, options = {}) {
  say([command, ...args].join(' '))
  const { status } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], ...options })
  return status === 0
}

function fail(line) {
  say(line)
  process.exit(1)
}

function newest(folder) {
  let newestMs = 0
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) newestMs = Math.max(newestMs, newest(path))
    else if (!entry.name.includes('.generated.'))
      newestMs = Math.max(newestMs, statSync(path).mtimeMs)
  }
  return newestMs
}

function checkNode() {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const wanted = /(\d+)\.(\d+)/.exec(engines.node)
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < Number(wanted[1]) || (major === Number(wanted[1]) && minor < Number(wanted[2]))) {
    fail(`Node ${engines.node} is needed, this is ${process.versions.node}`)
  }
}

function installPackages() {
  const installed = join(root, 'node_modules', '.package-lock.json')
  const lock = join(root, 'package-lock.json')
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return
  // `prepare` builds as well.
  if (!run('npm', ['ci', '--no-audit', '--no-fund'])) fail('npm ci failed, see above')
}

function build() {
  if (existsSync(stamp) && statSync(stamp).mtimeMs > newest(join(root, 'src'))) return
  if (!run('npm', ['run', '--silent', 'build'])) fail('the build failed, see above')
  writeFileSync(stamp, '')
}

function has(program) {
  return (process.env.PATH ?? '').split(':').some((dir) => existsSync(join(dir, program)))
}

function installServers() {
  const packages = {
    'redis-server': 'redis-server',
    'redis-sentinel': 'redis-sentinel',
    'redis-cli': 'redis-tools',
    'redis-check-rdb': 'redis-tools',
    openssl: 'openssl',
  }
  const missing = Object.keys(packages).filter((program) => !has(program))
  if (missing.length === 0) return
  const wanted = [...new Set(missing.map((program) => packages[program]))]
  const may = has('apt-get') && process.getuid?.() === 0
  // A package's own service is not wanted: tests start and stop their servers themselves.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  if (
    may &&
    run('apt-get', ['update', '-q'], { env }) &&
    run('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...wanted], { env }) &&
    missing.every(has)
  ) {
    return
  }
  fail(
    `the tests need ${missing.join(', ')}. On Debian or Ubuntu: sudo apt-get install ${wanted.join(' ')}. ` +
      'Elsewhere: redis 7.0 or newer with its tools, on PATH',
  )
}

/** More servers to test against, where ../shared has the script that fetches them. */
function fetchNewerServers() {
  const script = join(root, '..', 'shared', 'tools', 'newer-servers.sh')
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'rrep-servers')
  if (!existsSync(script)) return
  if (existsSync(cache) && readdirSync(cache).some((name) => name.startsWith('valkey-'))) return
  if (!run('sh', [script])) say('no newer servers: tests against them will be skipped')
}

checkNode()
installPackages()
build()
if (process.argv.includes('--servers')) {
  installServers()
  fetchNewerServers()
  say(execFileSync('redis-server', ['--version'], { encoding: 'utf8' }).trim())
}
