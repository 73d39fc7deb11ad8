/** Arguments of a decoded command: written on, seen as bytes, read as numbers. */
import { Buffer } from 'node:buffer'
import type { CommandDecoder } from './decoder.js'
import type { CommandEncoder } from './encoder.js'

export function copyArg(out: CommandEncoder, command: CommandDecoder, i: number): void {
  out.bulk(command.bytes, command.args[2 * i], command.args[2 * i + 1])
}

/** A view of the argument; valid as long as the command. */
export function argBuffer({ bytes, args }: CommandDecoder, i: number): Buffer {
  const start = args[2 * i]!
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, args[2 * i + 1]! - start)
}

/** The argument as a number; what is none counts as 0. */
export function integerArg(command: CommandDecoder, i: number): number {
  return integerOf(command, i) ?? 0
}

/** The argument as a number, beyond 2^53 a rounded one; undefined if it is none. */
export function integerOf(command: CommandDecoder, i: number): number | undefined {
  let at = command.args[2 * i]!
  const end = command.args[2 * i + 1]!
  const negative = command.bytes[at] === 0x2d
  if (negative) at += 1
  if (at >= end) return undefined
  let value = 0
  for (; at < end; at += 1) {
    const digit = command.bytes[at]! - 48
    if (digit < 0 || digit > 9) return undefined
    value = value * 10 + digit
  }
  return negative ? -value : value
}
