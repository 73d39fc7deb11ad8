/** What a target could not hold of a source, or would refuse. Pure. */
import { countOf, formatDuration, formatSize } from '../../bytes/figures-text.js'
import { acceptedBy, accepts, formatRdbMagic, type RdbMagic } from '../../servers/rdb-version.js'
import { serverVersionNumber } from '../../servers/version.js'
import type { ServerFacts } from './facts.js'
import type { Check } from './options.js'
import { check, quickChecks } from './server-checks.js'

const SKEW_MS = 1000
const FIRST_FUNCTIONS = 70000

/** What is known of a source, whatever it is. */
export interface SourceOutline {
  readonly magic: RdbMagic | undefined
  readonly databases: readonly number[]
  readonly usedMemory: number | undefined
  readonly modules: readonly string[] | undefined
  readonly functions: number | undefined
  readonly skewMs: number | undefined
}

export function targetChecks(target: ServerFacts, source: SourceOutline): readonly Check[] {
  return [
    ...quickChecks(target).filter(({ subject }) => subject === 'version'),
    place(target),
    format(target, source),
    databases(target, source),
    memory(target, source),
    modules(target, source),
    functions(target, source),
    contents(target),
    persistence(target),
    clocks(target, source),
  ]
}

function place(target: ServerFacts): Check {
  const { info } = target
  if (info.get('loading') === '1') {
    return check(target, 'role', { state: 'warning', text: 'it is loading its data' })
  }
  if (info.get('role') === 'slave') {
    return check(target, 'role', {
      state: 'failure',
      text: 'a replica: it takes no writes',
      hint: 'name its master',
    })
  }
  const kind =
    info.get('cluster_enabled') === '1' ? 'a node of a cluster: all of it is loaded' : 'master'
  return check(target, 'role', { state: 'ok', text: kind })
}

function format(target: ServerFacts, { magic }: SourceOutline): Check {
  const subject = 'format'
  if (magic === undefined) {
    return check(target, subject, { state: 'unknown', text: 'what the source writes is not known' })
  }
  const { family, version } = target
  if (accepts(acceptedBy({ family, version }), magic)) {
    return check(target, subject, { state: 'ok', text: `it loads ${formatRdbMagic(magic)}` })
  }
  return check(target, subject, {
    state: 'warning',
    text: `it does not load ${formatRdbMagic(magic)}: values are written by commands`,
    hint: 'what it cannot hold is named and counted; try `dryRun`',
  })
}

function databases(target: ServerFacts, source: SourceOutline): Check {
  const subject = 'databases'
  const isCluster = target.info.get('cluster_enabled') === '1'
  const count = isCluster ? 1 : Number(target.config?.get('databases') ?? Number.NaN)
  const highest = Math.max(0, ...source.databases)
  if (Number.isNaN(count)) {
    return check(target, subject, { state: 'unknown', text: 'how many it has may not be asked' })
  }
  if (highest < count) return check(target, subject, { state: 'ok', text: `${count}, enough` })
  return check(target, subject, {
    state: 'failure',
    text: `it has ${count}, and the source has keys in database ${highest}`,
    hint: isCluster
      ? 'a cluster has database 0 only: `mapDb`'
      : 'raise `databases` there, or `mapDb`',
  })
}

function memory(target: ServerFacts, { usedMemory }: SourceOutline): Check {
  const subject = 'memory'
  const limit = Number(target.info.get('maxmemory') ?? 0)
  const used = Number(target.info.get('used_memory') ?? 0)
  const policy = target.info.get('maxmemory_policy') ?? 'noeviction'
  if (limit === 0) return check(target, subject, { state: 'ok', text: 'no maxmemory' })
  const text = `${formatSize(used)} of ${formatSize(limit)} used, ${policy}`
  const needed = usedMemory ?? 0
  if (used + needed <= limit && policy === 'noeviction')
    return check(target, subject, { state: 'ok', text })
  if (used + needed <= limit) {
    return check(target, subject, {
      state: 'warning',
      text: `${text}: it may throw keys out`,
      hint: 'CONFIG SET maxmemory-policy noeviction for the load',
    })
  }
  const isOut = policy === 'noeviction' || policy.startsWith('volatile')
  return check(target, subject, {
    state: isOut ? 'failure' : 'warning',
    text: `${text}, and the source holds ${formatSize(needed)}: ${isOut ? 'it would refuse writes' : 'it would throw keys out'}`,
    hint: 'raise maxmemory there',
  })
}

function modules(target: ServerFacts, source: SourceOutline): Check {
  const subject = 'modules'
  if (source.modules === undefined || target.modules === undefined) {
    return check(target, subject, { state: 'unknown', text: 'which the source needs is not told' })
  }
  const missing = source.modules.filter((name) => !target.modules!.includes(name))
  if (missing.length === 0) {
    return check(target, subject, { state: 'ok', text: 'none is missing' })
  }
  return check(target, subject, {
    state: 'warning',
    text: `it lacks ${missing.join(', ')}`,
    hint: 'keys of their types are refused there',
  })
}

function functions(target: ServerFacts, source: SourceOutline): Check {
  const subject = 'functions'
  const count = source.functions ?? 0
  const number = serverVersionNumber(target.version) ?? Infinity
  if (count === 0 || number >= FIRST_FUNCTIONS) {
    return check(target, subject, {
      state: 'ok',
      text: `${countOf(count, 'library', 'libraries')} to bring`,
    })
  }
  return check(target, subject, {
    state: 'failure',
    text: `it knows no functions, and the source has ${countOf(count, 'library', 'libraries')}`,
  })
}

function contents(target: ServerFacts): Check {
  const keys = [...target.keysByDb.values()].reduce((sum, each) => sum + each, 0)
  if (keys === 0) return check(target, 'contents', { state: 'ok', text: 'empty' })
  return check(target, 'contents', {
    state: 'warning',
    text: `it holds ${countOf(keys, 'key')}`,
    hint: 'keys of the same name are in the way: `onConflict`, or `emptyTarget`',
  })
}

function persistence(target: ServerFacts): Check {
  const subject = 'persistence'
  const { config } = target
  if (config === undefined) {
    return check(target, subject, { state: 'unknown', text: 'it may not be asked (CONFIG)' })
  }
  const isOn = config.get('appendonly') === 'yes' || (config.get('save') ?? '') !== ''
  if (isOn) return check(target, subject, { state: 'ok', text: 'it keeps its data on disk' })
  return check(target, subject, {
    state: 'warning',
    text: 'it keeps nothing on disk: a restart loses all',
    hint: 'CONFIG SET appendonly yes',
  })
}

function clocks(target: ServerFacts, source: SourceOutline): Check {
  const subject = 'clock'
  if (target.skewMs === undefined) {
    return check(target, subject, { state: 'unknown', text: 'it does not tell its time' })
  }
  const apart = Math.abs(target.skewMs - (source.skewMs ?? 0))
  if (apart < SKEW_MS) return check(target, subject, { state: 'ok', text: 'as that of the source' })
  return check(target, subject, {
    state: 'warning',
    text: `${formatDuration(apart)} from that of the source: keys expire so much earlier or later`,
    hint: 'run NTP on both',
  })
}
