/**
 * `doctor`: what would go wrong, before it does. Reads only: INFO, CONFIG GET, TIME, lists of names, and
 * rights as ACL DRYRUN tells them; nothing is changed anywhere.
 */
import { statfsSync } from 'node:fs'
import { formatSize } from '../../bytes/figures-text.js'
import { fileError } from '../../disk/file-error.js'
import { AuthError, InputError, type RrepError } from '../../errors.js'
import { formatServerAddress } from '../../net/address.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { acceptedBy, type RdbMagic } from '../../servers/rdb-version.js'
import {
  nameOfSource,
  readServer,
  readSource,
  type SourceName,
  type StoredSource,
} from '../../source/classify.js'
import { inspect } from '../inspect/run.js'
import { lookAtCluster } from './deployment.js'
import { serverFacts, type ServerFacts } from './facts.js'
import type { Check, DoctorOptions, DoctorResult } from './options.js'
import { sourceRights, targetRights } from './rights.js'
import { sourceChecks } from './server-checks.js'
import { targetChecks, type SourceOutline } from './target-checks.js'

export type * from './options.js'

const DEFAULT_SAMPLE_MS = 2000

/** Rejects with LinkError, AuthError or ProtocolError (nobody can be asked), FileError, UsageError or
 * AbortedError. */
export async function doctor(name: SourceName, options: DoctorOptions = {}): Promise<DoctorResult> {
  const source = await readSource(name)
  const checks: Check[] = []
  let outline: SourceOutline
  if (source.kind === 'server') {
    outline = await lookAtServers([source.server], options, checks)
  } else if (source.kind === 'cluster') {
    const { checks: ofAll, masters } = await lookAtCluster(source.seeds, options.signal)
    checks.push(...ofAll)
    outline = await lookAtServers(masters, options, checks)
  } else outline = await lookAtFile(source, options, checks)
  if (options.directory !== undefined) checks.push(room(options.directory, outline))
  let target: string | undefined
  if (options.target !== undefined) {
    const settings = readServer(options.target)
    target = formatServerAddress(settings.address)
    const facts = await serverFacts(settings, 0, options.signal)
    checks.push(...targetChecks(facts, outline), await targetRights(facts, options.signal))
  }
  const count = (state: Check['state']): number =>
    checks.filter((each) => each.state === state).length
  return {
    source: nameOfSource(source),
    target,
    checks,
    failures: count('failure'),
    warnings: count('warning'),
  }
}

async function lookAtServers(
  servers: readonly ServerSettings[],
  { sampleMs = DEFAULT_SAMPLE_MS, signal }: DoctorOptions,
  checks: Check[],
): Promise<SourceOutline> {
  const isShard = servers.length > 1
  const all = await Promise.all(
    servers.map(async (settings) => {
      try {
        return await serverFacts(settings, sampleMs, signal)
      } catch (error) {
        if (error instanceof AuthError) return error
        throw error
      }
    }),
  )
  const known: ServerFacts[] = []
  for (const [index, facts] of all.entries()) {
    if (facts instanceof AuthError) {
      if (facts.code !== 'ERR_REFUSED') throw facts
      checks.push(notTold(servers[index]!, facts))
      continue
    }
    known.push(facts)
    const isFollowed = servers[index]!.locate !== undefined
    const own = sourceChecks(facts).filter(
      ({ subject }) => subject !== 'deployment' || !(isShard || isFollowed),
    )
    checks.push(...own, await sourceRights(facts, signal))
  }
  return outlineOf(known)
}

function notTold(settings: ServerSettings, { message }: RrepError): Check {
  return {
    place: formatServerAddress(settings.address),
    subject: 'rights',
    state: 'unknown',
    text: `it tells nothing of itself: ${message}`,
    hint: 'sync and backup need no more than +psync +replconf +ping; this needs +info',
  }
}

function outlineOf(all: readonly ServerFacts[]): SourceOutline {
  const [first] = all
  const used = all.reduce((sum, { info }) => sum + Number(info.get('used_memory') ?? 0), 0)
  return {
    magic: first === undefined ? undefined : writtenBy(first),
    databases: [...new Set(all.flatMap(({ keysByDb }) => [...keysByDb.keys()]))],
    usedMemory: used > 0 ? used : undefined,
    modules: first?.modules,
    functions: first?.functions,
    skewMs: first?.skewMs,
  }
}

/** What a server writes is the newest that it loads. */
function writtenBy({ family, version }: ServerFacts): RdbMagic | undefined {
  const { redis, valkey } = acceptedBy({ family, version })
  if (redis === 0) return undefined
  return valkey > 0 ? { family: 'valkey', version: valkey } : { family: 'redis', version: redis }
}

async function lookAtFile(
  source: StoredSource,
  { identity, signal }: DoctorOptions,
  checks: Check[],
): Promise<SourceOutline> {
  const place = nameOfSource(source)
  try {
    const result = await inspect(source, { identity, signal })
    const { error, family, rdbVersion } = result
    checks.push(
      error === undefined
        ? { place, subject: 'contents', state: 'ok', text: `sound, ${result.keys} keys` }
        : { place, subject: 'contents', state: 'failure', text: error.message },
    )
    return {
      magic: { family, version: rdbVersion },
      databases: result.databases.map(([db]) => db),
      usedMemory: Number(result.aux.get('used-mem') ?? 0) || undefined,
      modules: undefined,
      functions: result.functions,
      skewMs: undefined,
    }
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    checks.push({ place, subject: 'contents', state: 'failure', text: error.message })
    return {
      ...{ magic: undefined, databases: [], usedMemory: undefined },
      ...{ modules: undefined, functions: undefined, skewMs: undefined },
    }
  }
}

/** A dump is smaller than the memory it comes from, as a rule by much. */
function room(directory: string, { usedMemory }: SourceOutline): Check {
  const subject = 'room'
  try {
    const { bavail, bsize } = statfsSync(directory)
    const free = bavail * bsize
    const text = `${formatSize(free)} free`
    if (usedMemory === undefined) return { place: directory, subject, state: 'unknown', text }
    if (free >= usedMemory) return { place: directory, subject, state: 'ok', text }
    return {
      ...{ place: directory, subject, state: 'warning' },
      text: `${text}, and the source holds ${formatSize(usedMemory)} in memory`,
      hint: 'a dump is smaller as a rule, with `compress` by much',
    }
  } catch (error) {
    const { message } = fileError(directory, 'read', error)
    return { place: directory, subject, state: 'failure', text: message }
  }
}
