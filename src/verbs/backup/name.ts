/** What backups are called where nobody says. */
import { basename, resolve } from 'node:path'
import type { Source } from '../../source/classify.js'

/** What they are called where nobody says: host and port, or the name that Sentinels know. */
export function nameOfBackups(source: Source): string {
  if (source.kind !== 'server' && source.kind !== 'cluster') {
    const name = basename(source.kind === 'stdin' ? 'stdin' : resolve(source.path))
    return name.replace(/\.(?:rdb|aof|gz|zst)\b.*$/, '').replaceAll(NOT_OF_A_NAME, '_')
  }
  const address = source.kind === 'server' ? source.server.address : source.seeds[0]!.address
  if (address.name !== undefined) return address.name
  const host = address.transport === 'unix' ? (address.socketPath ?? 'socket') : address.host
  return `${host}-${address.port}`.replaceAll(NOT_OF_A_NAME, '_')
}

const NOT_OF_A_NAME = /[^A-Za-z0-9._-]/g
