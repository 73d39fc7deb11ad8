/**
 * Whether the target lets us do what a replay needs, asked before the first write: each command is
 * queued in a transaction that is then discarded. A server looks at rights, and whether it knows the
 * command, when it queues; nothing is executed.
 */
import { AuthError, ProtocolError } from '../../errors.js'
import { printable } from '../../bytes/printable.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { ReplyError } from './reply-reader.js'
import { TargetConnection } from './target-connection.js'
import type { TargetCapabilities } from '../../servers/capabilities.js'

export interface NeededRights {
  target: TargetCapabilities
  checkpointKey: Uint8Array
  /** Expiries are moved, and put right at the end. */
  shift: boolean
  /** Everything in the target is deleted first. */
  flush: boolean
  signal?: AbortSignal | undefined
}

export type RightsCommand = readonly (string | Uint8Array)[]

/** By name. */
export interface RightsLook {
  readonly denied: readonly string[]
  /** The server knows no such command. */
  readonly unknown: readonly string[]
  /** Of the first of them. */
  readonly text: string
}

/** Nothing of these is executed. */
export async function lookAtRights(
  connection: TargetConnection,
  commands: readonly RightsCommand[],
): Promise<RightsLook> {
  const denied: string[] = []
  const unknown: string[] = []
  let text = ''
  const look = (name: string, reply: unknown): boolean => {
    if (!(reply instanceof ReplyError)) return true
    const isDenied = reply.text.startsWith('NOPERM')
    if (isDenied || /^ERR unknown command/i.test(reply.text)) {
      text ||= reply.text
      const list = isDenied ? denied : unknown
      if (!list.includes(name)) list.push(name)
    }
    return false
  }
  if (look('MULTI', await connection.call('MULTI'))) {
    for (const command of commands) look(String(command[0]), await connection.call(...command))
    await connection.call('DISCARD')
  }
  return { denied, unknown, text }
}

/** Rejects with AuthError (which names the rights that are missing) or ProtocolError (the server
 * does not know a command that is needed), or with LinkError. */
export async function requireRights(settings: ServerSettings, needed: NeededRights): Promise<void> {
  // Of its own: whatever becomes of the transaction goes with it.
  const connection = await TargetConnection.open(settings, {
    clientName: 'rrep-rights',
    signal: needed.signal,
  })
  try {
    const { denied, unknown, text } = await lookAtRights(connection, commandsOf(needed))
    if (denied.length > 0) throw lacking(settings, denied, text)
    if (unknown.length > 0) {
      throw new ProtocolError(
        'ERR_TARGET_TOO_OLD',
        `the target does not know ${unknown.join(', ')}, which a live replay needs`,
        { hint: 'a dump needs less: `sync()`, then replay the file' },
      )
    }
  } finally {
    connection.close()
  }
}

/** What a replay runs there. */
export function commandsOf({
  target,
  checkpointKey: key,
  shift,
  flush,
}: Omit<NeededRights, 'signal'>): RightsCommand[] {
  const list: RightsCommand[] = [
    ['SELECT', '0'],
    ['HMSET', key, 'a', 'b'],
    ['HGETALL', key],
    ['DEL', key],
    ['SET', key, 'x'],
    ['RPUSH', key, 'x'],
    ['SADD', key, 'x'],
    ['ZADD', key, '1', 'x'],
    ['RESTORE', key, '0', 'x'],
    ['PEXPIREAT', key, '1'],
    ['INFO'],
  ]
  if (flush) list.push(['FLUSHALL'])
  if (!shift) return list
  list.push(['SCAN', '0'])
  list.push(target.version >= 70000 ? ['PEXPIRETIME', key] : ['PTTL', key])
  if (target.fieldExpiry) {
    list.push(
      ['EVAL', 'return 0', '0'],
      ['TYPE', key],
      ['HKEYS', key],
      ['HPEXPIRETIME', key, 'FIELDS', '1', 'x'],
      ['HPEXPIREAT', key, '1', 'FIELDS', '1', 'x'],
    )
  }
  return list
}

function lacking(settings: ServerSettings, names: readonly string[], text: string): AuthError {
  const user = settings.username ?? 'default'
  const isKey = /\bkeys?\b/i.test(text) && !/run the/i.test(text)
  const rights = isKey ? '~*' : names.map((name) => `+${name.toLowerCase()}`).join(' ')
  return new AuthError(
    'ERR_TARGET_RIGHTS',
    `the target's user ${printable(Buffer.from(user))} may not run ${names.join(', ')}` +
      `${isKey ? ' on the keys it needs' : ''}: nothing was written`,
    { hint: `ACL SETUSER ${printable(Buffer.from(user))} ${rights}` },
  )
}
