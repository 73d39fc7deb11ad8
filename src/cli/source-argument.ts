/** The source that a command reads keys of: its argument, and the options that choose its moment. */
import { type Command, Option } from 'commander'
import { classifySource, type Source } from '../source/classify.js'
import {
  readClusterSeeds,
  readServerSettings,
  sourceOf,
  type ConnectValues,
} from './connect-options.js'
import type { Io } from './io.js'
import type { Talk } from './talk.js'
import { parseMoment, type Moment } from './units.js'

/** What is shown of a source before its keys are read. */
export const PREPARING = { sync: 'taking the snapshot', build: 'applying commands' } as const

export interface MomentOptions extends IdentityOptions {
  until?: Moment
  baseOnly?: boolean
  withServer?: string
}

export interface IdentityOptions {
  identity?: string
}

/** Of every command that reads what may be encrypted. */
export function addIdentityOption(command: Command): Command {
  const option = new Option('--identity <file>', 'opens what is encrypted with age')
  return command.addOption(option.env('RREP_IDENTITY'))
}

export function addMomentOptions(command: Command): Command {
  return addIdentityOption(command)
    .option('--until <when>', 'AOF or archive: its state at this time, or offset:N', parseMoment)
    .option('--base-only', 'AOF or archive: the snapshot in front, without its commands')
    .option('--with-server <path>', 'redis-server or valkey-server to apply commands in')
}

/** Reads passwords and certificates where it is a server. */
export async function readSourceArgument(
  argument: string | undefined,
  values: ConnectValues,
  io: Io,
  talk: Talk,
): Promise<Source> {
  return await readNamed(sourceOf(argument, io), values, io, talk)
}

/** The same of a name, with the options of the source or of the target. */
export async function readNamed(
  name: string,
  values: ConnectValues,
  io: Io,
  talk: Talk,
  which: 'source' | 'target' = 'source',
): Promise<Source> {
  const spec = await classifySource(name)
  if (spec.kind === 'cluster') {
    return { kind: 'cluster', seeds: await readClusterSeeds(name, values, io, talk, which) }
  }
  if (spec.kind !== 'server') return spec
  if (values['cluster'] === true && which === 'source') {
    return { kind: 'cluster', seeds: await readClusterSeeds(name, values, io, talk) }
  }
  return { kind: 'server', server: await readServerSettings(name, values, io, talk, which) }
}
