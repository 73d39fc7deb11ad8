/**
 * The library speaks of its own options (`emptyTarget`, `onConflict: 'replace'`) and functions
 * (`replay()`), in backquotes. Here they become what is typed on a command line.
 */

const CALLS: Readonly<Record<string, string>> = {
  'archive()': 'rrep tail -o',
  'archiveCluster()': 'rrep tail --cluster -o DIR',
  'diff()': 'rrep diff',
  'finishReplay()': 'rrep replay --finish TARGET',
  'replay()': 'rrep replay',
  'sync()': 'rrep sync -o',
  'syncCluster()': 'rrep sync --cluster -o DIR',
  'verifyBackup()': 'rrep backup verify',
}

/** Those whose name on the command line is not just their own, written with dashes. */
const FLAGS: Readonly<Record<string, string>> = {
  caFile: '--cacert',
  certFile: '--cert',
  keyFile: '--key',
  username: '--user',
  timeoutMs: '--timeout',
  fromMs: '--from',
  from: '--from-offset',
  filter: '--match, --db',
  'filter.noMatch': '--no-match',
  'filter.minSizeBytes': '--min-size',
  'filter.ttl': '--ttl',
  'filter.idle': '--idle',
  rateBytesPerSecond: '--rate',
  'tls.cert': '--target-cert',
  'tls.key': '--target-key',
  'tls.certFile': '--tls-cert-file',
  'tls.keyFile': '--tls-key-file',
  password: '--requirepass-file',
  sentinelPassword: '--sentinel-password-file',
  allowFullResync: 'not saying --no-full-sync',
}

const SAME_NAME: ReadonlySet<string> = new Set([
  ...['adopt', 'checkpointKey', 'dryRun', 'durable', 'emptyTarget', 'fsync', 'identity', 'mapDb'],
  ...[
    'onConflict',
    'rewriteKey',
    'salvage',
    'scrub',
    'sni',
    'spoolDir',
    'strict',
    'tls',
    'transform',
    'unprotected',
  ],
  ...[
    'cluster',
    'connections',
    'listen',
    'restore',
    'viaReplica',
    'compress',
    'node',
    'wait',
    'retries',
    'until',
    'untilQuiet',
    'untilSynced',
    'verify',
    'withServer',
  ],
])

/** Of what no option or function of the library is, nothing is changed. */
export function inFlags(text: string): string {
  return text.replace(
    /`([A-Za-z.]+(?:\(\))?)(?:: '([a-z]+)')?`/g,
    (whole, name: string, value: string | undefined) => {
      const flag = CALLS[name] ?? FLAGS[name] ?? (SAME_NAME.has(name) ? dashed(name) : undefined)
      if (flag === undefined) return whole
      return value === undefined ? flag : `${flag} ${value}`
    },
  )
}

function dashed(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}
