/**
 * The options of every command that connects, and how they become the library's settings. The
 * target of `replay` and `diff` has the same set with a prefix.
 */
import type { Command } from 'commander'
import { holdsPassword, type ServerSettings } from '../net/make-server-settings.js'
import { clusterSeeds, type ClusterSeeds } from '../topology/cluster.js'
import { settingsOf, type DeploymentWishes } from '../topology/settings.js'
import { UsageError } from '../errors.js'
import type { Io } from './io.js'
import { readPassword } from './password.js'
import type { Talk } from './talk.js'
import { formatDuration, parseCount, parseDuration } from './units.js'

/** Of one server, by the long names without their prefix. */
const NAMES = [
  ['user', '<name>', 'ACL user'],
  ['password-file', '<file>', 'first line is the password (else REDISCLI_AUTH)'],
  ['askpass', '', 'ask for the password'],
  ['tls', '', 'encrypt (as rediss:// does); certificates are verified'],
  ['cacert', '<file>', 'authorities to trust, PEM'],
  ['cert', '<file>', 'our certificate, PEM'],
  ['key', '<file>', 'key of our certificate, PEM'],
  ['sni', '<name>', 'server name to ask for and verify'],
  ['sentinel-user', '<name>', 'ACL user of the Sentinels'],
  ['sentinel-password-file', '<file>', 'their password (else RREP_SENTINEL_AUTH)'],
  ['insecure', '', 'accept any certificate: encrypted, but to nobody knows whom'],
] as const

export interface ConnectValues {
  timeout?: number
  retries?: number
  wait?: number
  /** The rest stands under commander's camel-case names, with or without the prefix. */
  [name: string]: unknown
}

/** Adds the options. `target` adds those with `--target-` only. */
export function addConnectOptions(
  command: Command,
  which: 'source' | 'target' = 'source',
  /** Where `--key` has another meaning. */
  keyOption = 'key',
): Command {
  const prefix = which === 'target' ? 'target-' : ''
  for (const [name, argument, description] of NAMES) {
    const of =
      which === 'target'
        ? `target: ${description.replace('REDISCLI_AUTH', 'RREP_TARGET_AUTH')}`
        : description
    const long = name === 'key' ? keyOption : name
    command.option(`--${prefix}${long}${argument === '' ? '' : ` ${argument}`}`, of)
  }
  command.option(
    `--${prefix}map-address <from=to>`,
    `${which === 'target' ? 'target: ' : ''}a server known as host:port is reached at another (NAT; repeatable)`,
    (text: string, before: readonly string[] | undefined) => [...(before ?? []), text],
  )
  if (which === 'target') return command
  return command
    .option('--timeout <time>', 'give up after so long without a byte (default 30s)', parseDuration)
    .option('--retries <n>', 'attempts after a failure that can pass (default 5)', parseCount)
    .option(
      '--wait <time>',
      'how long a server may be loading its data (default 30m)',
      parseDuration,
    )
}

/** The source a command works on: its argument, else RREP_SOURCE, else the local default. */
export function sourceOf(argument: string | undefined, io: Io): string {
  if (argument !== undefined) return argument
  const variable = io.env['RREP_SOURCE']
  return variable === undefined || variable === '' ? '127.0.0.1:6379' : variable
}

/** The same of the nodes of a cluster. */
export async function readClusterSeeds(
  address: string,
  values: ConnectValues,
  io: Io,
  talk: Talk,
  which: 'source' | 'target' = 'source',
): Promise<ClusterSeeds> {
  return clusterSeeds(address, await readWishes(address, values, io, talk, which))
}

/** Reads certificates, asks for the password where wished, and puts all into one place. */
export async function readServerSettings(
  address: string,
  values: ConnectValues,
  io: Io,
  talk: Talk,
  which: 'source' | 'target' = 'source',
): Promise<ServerSettings> {
  return settingsOf(address, await readWishes(address, values, io, talk, which))
}

async function readWishes(
  address: string,
  values: ConnectValues,
  io: Io,
  talk: Talk,
  which: 'source' | 'target',
): Promise<DeploymentWishes> {
  if (holdsPassword(address) && address !== io.env['RREP_SOURCE']) {
    const variable = which === 'target' ? 'RREP_TARGET_AUTH' : 'REDISCLI_AUTH'
    talk.warn(
      'a password on the command line stands in the list of processes for all to see: ' +
        `${variable} or --${which === 'target' ? 'target-' : ''}password-file keeps it`,
    )
  }
  const text = (name: string): string | undefined => {
    const value = values[camelCase(which === 'target' ? `target-${name}` : name)]
    return typeof value === 'string' ? value : undefined
  }
  const flag = (name: string): boolean =>
    values[camelCase(which === 'target' ? `target-${name}` : name)] === true
  const password = await readPassword(io, {
    file: text('password-file'),
    ask: flag('askpass'),
    label: which === 'target' ? 'Password of the target' : 'Password',
    variable: which === 'target' ? 'RREP_TARGET_AUTH' : 'REDISCLI_AUTH',
    onWarning: talk.warn,
  })
  if (text('user') !== undefined && password === undefined && !address.includes('@')) {
    throw new UsageError(`user ${text('user')!} has no password`, {
      hint: 'give --password-file, --askpass or the environment variable REDISCLI_AUTH',
    })
  }
  return {
    sentinelUsername: text('sentinel-user'),
    sentinelPassword: await readPassword(io, {
      file: text('sentinel-password-file'),
      label: 'Password of the Sentinels',
      variable: which === 'target' ? 'RREP_TARGET_SENTINEL_AUTH' : 'RREP_SENTINEL_AUTH',
      onWarning: talk.warn,
    }),
    username: text('user'),
    password,
    passwordHint:
      which === 'target'
        ? 'give one by RREP_TARGET_AUTH, --target-password-file or --target-askpass'
        : 'give one by REDISCLI_AUTH, --password-file or --askpass',
    tls: flag('tls'),
    caFile: text('cacert'),
    certFile: text('cert'),
    keyFile: text('key'),
    sni: text('sni'),
    insecure: flag('insecure'),
    mapAddress: values[camelCase(`${which === 'target' ? 'target-' : ''}map-address`)] as
      readonly string[] | undefined,
    timeoutMs: values.timeout,
    loadingWaitMs: values.wait,
    onLoading: (error, retryInMs) =>
      talk.say(`${error.message}; next attempt in ${formatDuration(retryInMs)}`),
  }
}

function camelCase(name: string): string {
  return name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
}
