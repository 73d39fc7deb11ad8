/** The servers that a soak goes through: one of each family, or those of RREP_SOAK_SERVERS (by comma). */
import { serverBinary, type ServerBinary } from './servers.js'

const NAMES = ['redis-7.0', 'redis-8.6', 'valkey-9.1']

/** Those that this machine has. */
export function soakedServers(names: readonly string[] = NAMES): readonly ServerBinary[] {
  const wanted = process.env['RREP_SOAK_SERVERS']?.split(',') ?? names
  return wanted.flatMap((name) => serverBinary(name) ?? [])
}
