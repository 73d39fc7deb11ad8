// Sees to what `npm run demo` and `npm test` need: the packages, an up-to-date build and, with
// --servers, redis-server, its tools and newer servers. Plain JavaScript without dependencies,
// since it runs before anything is installed. Does nothing where nothing is missing.
//
// With --servers (npm test) something is installed only in CI and where it is asked for with
// RREP_SETUP=1; else what is missing is named. What is run is said first.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const stamp = join(root, 'dist', '.built')

const testing = process.argv.includes('--servers')
const mayInstall = !testing || isSet('CI') || isSet('RREP_SETUP')

function isSet(name) {
  return !['', '0', 'false'].includes(process.env[name] ?? '')
}

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
  if (hasPackages()) return
  if (!mayInstall) fail('packages are missing or out of date: npm ci, or RREP_SETUP=1 npm test')
  // `prepare` builds as well.
  if (!run('npm', ['ci', '--no-audit', '--no-fund'])) fail('npm ci failed, see above')
}

/** What is installed is what the lock file says; packages for other systems may be missing. */
function hasPackages() {
  const installed = join(root, 'node_modules', '.package-lock.json')
  if (!existsSync(installed)) return false
  const packagesOf = (path) => Object.entries(JSON.parse(readFileSync(path, 'utf8')).packages)
  const versions = new Map(packagesOf(installed).map(([path, { version }]) => [path, version]))
  return packagesOf(join(root, 'package-lock.json')).every(
    ([path, { version, optional }]) =>
      path === '' || versions.get(path) === version || (optional && !versions.has(path)),
  )
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
  const may = mayInstall && has('apt-get') && process.getuid?.() === 0
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
    `the tests need ${missing.join(', ')}. On Debian or Ubuntu: sudo apt-get install ${wanted.join(' ')} ` +
      '(as root, RREP_SETUP=1 npm test does that). Elsewhere: redis 7.0 or newer with its tools, on PATH',
  )
}

/** More servers to test against, unpacked into a folder of their own: nothing is installed. */
function fetchNewerServers() {
  const script = join('test', 'helpers', 'newer-servers.sh')
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'rrep-servers')
  if (existsSync(cache) && readdirSync(cache).some((name) => name.startsWith('valkey-'))) return
  if (mayInstall && run('sh', [script])) return
  say(`no newer servers: tests against them are skipped. On Debian, ${script} fetches them`)
}

checkNode()
installPackages()
build()
if (testing) {
  installServers()
  fetchNewerServers()
  say(execFileSync('redis-server', ['--version'], { encoding: 'utf8' }).trim())
}
