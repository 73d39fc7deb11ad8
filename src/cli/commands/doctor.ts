/** `rrep doctor`: what would go wrong, before it does. */
import type { Command } from 'commander'
import { readServer } from '../../source/classify.js'
import { doctor, type Check, type CheckState, type DoctorResult } from '../../verbs/doctor/run.js'
import { addCommonOptions, type CommandContext } from '../command.js'
import {
  addConnectOptions,
  readServerSettings,
  sourceOf,
  type ConnectValues,
} from '../connect-options.js'
import { EXIT } from '../exit-codes.js'
import { lookOf, renderTable, type Column } from '../render/inspect-table.js'
import { addIdentityOption, readNamed, type IdentityOptions } from '../source-argument.js'
import { countOf, parseDuration } from '../units.js'
import { inFlags } from '../words.js'

interface DoctorCommandOptions extends ConnectValues, IdentityOptions {
  cluster?: boolean
  to?: string
  sample?: number
}

const DETAILS = `
SOURCE is a server, a Sentinel's master, a cluster, or a file; TARGET a server that it would be replayed
into. Asked is only what changes nothing: INFO, CONFIG GET, TIME, names of modules and functions, and rights
by ACL DRYRUN or inside of a transaction that is discarded. What may not be asked is told as unknown.

Looked at: version, role, rights (with the ACL that is missing), memory for the fork, output buffer and
backlog against the rate of writes (--sample), clock, Sentinels, slots of a cluster; of a target what it
cannot hold: format, databases, memory, modules, functions, what is there already.

Exit status 0: fine. 8: there are warnings. 7: something would fail.
`

const COLUMNS: readonly Column[] = [
  { title: '' },
  { title: 'where' },
  { title: 'what' },
  { title: 'found' },
]
const MARKS: Readonly<Record<CheckState, string>> = {
  ok: 'ok',
  unknown: '?',
  warning: 'warning',
  failure: 'FAILS',
}

export function registerDoctor(program: Command, context: CommandContext): void {
  const command = program
    .command('doctor')
    .summary('what would go wrong, before it does')
    .description('Look at a source, and at a target, for what would go wrong. Changes nothing.')
    .argument('[source]', 'server, cluster or file (RREP_SOURCE)')
    .argument('[target]', 'server that it would be replayed into')
    .option('--cluster', 'all shards of the cluster that the server is a node of')
    .option('--to <dir>', 'is there room for a dump?')
    .option('--sample <time>', 'how long writes are watched (default 2s)', parseDuration)
    .addHelpText('after', DETAILS)
  addIdentityOption(command)
  addConnectOptions(command)
  addConnectOptions(command, 'target')
  addCommonOptions(command, [
    'rrep doctor db.example:6379',
    'rrep doctor db.example:6379 new.example:6379 --json',
    'rrep doctor redis-cluster://node1:7000 --to /var/backups/redis',
  ])
  command.action(
    context.action<DoctorCommandOptions>(async ({ args, options, io, talk, signal }) => {
      const source = await readNamed(sourceOf(args[0], io), options, io, talk)
      const target =
        args[1] === undefined
          ? undefined
          : readServer(await readServerSettings(args[1], options, io, talk, 'target'))
      const progress = talk.progress('looking')
      try {
        const result = await doctor(source, {
          ...{ target, signal },
          directory: options.to,
          identity: options.identity,
          sampleMs: options.sample,
        })
        progress.stop()
        const checks = result.checks.map((each) => ({
          ...each,
          ...(each.hint === undefined ? {} : { hint: inFlags(each.hint) }),
        }))
        if (talk.json) await talk.event({ event: 'checked', ...result, checks })
        else {
          const rows = checks.map(({ state, place, subject, text }) => [
            MARKS[state],
            place,
            subject,
            inFlags(text),
          ])
          await talk.write(`${renderTable(COLUMNS, rows, lookOf(talk))}\n`)
          for (const line of adviceOf(checks)) await talk.write(`${line}\n`)
          talk.say(verdictOf(result))
        }
        if (result.failures > 0) return EXIT.DIFFERENT
        return result.warnings > 0 ? EXIT.WARNING : EXIT.OK
      } finally {
        progress.stop()
      }
    }),
  )
}

function adviceOf(checks: readonly Check[]): readonly string[] {
  const lines = checks.flatMap(({ state, subject, hint }) =>
    hint === undefined || state === 'ok' ? [] : [`${subject}: ${hint}`],
  )
  return lines.length === 0 ? [] : ['', 'What to do', ...new Set(lines)]
}

function verdictOf({ checks, failures, warnings }: DoctorResult): string {
  const unknown = checks.filter(({ state }) => state === 'unknown').length
  const parts = [
    ...(failures > 0 ? [`${countOf(failures, 'thing')} would fail`] : []),
    ...(warnings > 0 ? [countOf(warnings, 'warning')] : []),
  ]
  if (parts.length === 0) {
    return unknown === 0
      ? 'nothing stands in the way'
      : `nothing known stands in the way, ${unknown} unknown`
  }
  return [...parts, ...(unknown > 0 ? [`${unknown} unknown`] : [])].join(', ')
}
