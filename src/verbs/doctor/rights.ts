/** What a user may run, asked without running it. */
import { randomBytes } from 'node:crypto'
import { printable } from '../../bytes/printable.js'
import { AbortedError, RrepError } from '../../errors.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { capabilitiesOf } from '../../servers/capabilities.js'
import { ReplyError, replyText } from '../../target/server/reply-reader.js'
import { TargetConnection } from '../../target/server/target-connection.js'
import { commandsOf, lookAtRights } from '../../target/server/target-rights.js'
import type { ServerFacts } from './facts.js'
import type { Check } from './options.js'
import { check } from './server-checks.js'

/** What taking a snapshot or a stream needs. */
export async function sourceRights(
  facts: ServerFacts,
  signal: AbortSignal | undefined,
): Promise<Check> {
  const subject = 'rights'
  const user = userOf(facts.settings)
  return await asking(facts, subject, signal, async (connection) => {
    const may = await mayRun(connection, user, [
      ['PSYNC', '?', '-1'],
      ['REPLCONF', 'capa', 'eof'],
    ])
    if (may === undefined) {
      return {
        state: 'unknown',
        text: `whether the user ${user} may run PSYNC shows with the first snapshot`,
        hint: `the smallest ACL that suffices: ACL SETUSER ${user} +psync +replconf +ping`,
      }
    }
    if (may.length > 0) {
      return {
        state: 'failure',
        text: `the user ${user} may not run ${may.join(', ')}`,
        hint: `ACL SETUSER ${user} ${may.map((name) => `+${name.toLowerCase()}`).join(' ')}`,
      }
    }
    return { state: 'ok', text: `the user ${user} may replicate` }
  })
}

/** What a replay needs there, a live one with its expiries included. */
export async function targetRights(
  facts: ServerFacts,
  signal: AbortSignal | undefined,
): Promise<Check> {
  const user = userOf(facts.settings)
  const commands = commandsOf({
    target: capabilitiesOf(facts.family, facts.version),
    checkpointKey: Buffer.from(`rrep:doctor:${randomBytes(8).toString('hex')}`),
    shift: true,
    flush: false,
  })
  return await asking(facts, 'rights', signal, async (connection) => {
    const { denied, unknown } = await lookAtRights(connection, commands)
    if (denied.length > 0) {
      return {
        state: 'failure',
        text: `the user ${user} may not run ${denied.join(', ')}`,
        hint: `ACL SETUSER ${user} ~* ${denied.map((name) => `+${name.toLowerCase()}`).join(' ')}`,
      }
    }
    if (unknown.length > 0) {
      return {
        state: 'warning',
        text: `it does not know ${unknown.join(', ')}, which a live replay needs`,
        hint: 'a dump needs less: `sync()`, then replay the file',
      }
    }
    return { state: 'ok', text: `the user ${user} may write what a replay writes` }
  })
}

async function asking(
  facts: ServerFacts,
  subject: string,
  signal: AbortSignal | undefined,
  ask: (connection: TargetConnection) => Promise<Omit<Check, 'place' | 'subject'>>,
): Promise<Check> {
  let connection: TargetConnection | undefined
  try {
    connection = await TargetConnection.open(facts.settings, { clientName: 'rrep-doctor', signal })
    return check(facts, subject, await ask(connection))
  } catch (error) {
    if (!(error instanceof RrepError) || error instanceof AbortedError) throw error
    return check(facts, subject, { state: 'unknown', text: `not told: ${error.message}` })
  } finally {
    connection?.close()
  }
}

/** By ACL DRYRUN where that may be asked; else as a subscriber, to whom all but a few commands are refused,
 * for want of rights first. The names of those that are denied; undefined: neither tells. */
async function mayRun(
  connection: TargetConnection,
  user: string,
  commands: readonly (readonly string[])[],
): Promise<readonly string[] | undefined> {
  const denied: string[] = []
  for (const command of commands) {
    const dry = await connection.call('ACL', 'DRYRUN', user, ...command)
    if (dry instanceof ReplyError) {
      return await mayRunAsSubscriber(connection, commands)
    }
    if (replyText(dry) !== 'OK') denied.push(command[0]!)
  }
  return denied
}

async function mayRunAsSubscriber(
  connection: TargetConnection,
  commands: readonly (readonly string[])[],
): Promise<readonly string[] | undefined> {
  // Without it they would be run.
  if ((await connection.call('SUBSCRIBE', 'rrep:doctor')) instanceof ReplyError) return undefined
  const denied: string[] = []
  for (const command of commands) {
    const reply = await connection.call(...command)
    if (!(reply instanceof ReplyError)) return undefined
    if (reply.text.startsWith('NOPERM')) denied.push(command[0]!)
  }
  return denied
}

function userOf(settings: ServerSettings): string {
  return printable(Buffer.from(settings.username ?? 'default'))
}
