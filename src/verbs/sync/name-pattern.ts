/**
 * Names of dumps with places to fill in: `{host} {port} {time}`, or strftime (`%Y%m%d-%H%M%S`),
 * both of the moment the run began, in local time.
 */
import { basename } from 'node:path'
import { UsageError } from '../../errors.js'
import type { ServerAddress } from '../../net/address.js'

/** Pure. Throws UsageError for a place or a % that means nothing. */
export function fillNamePattern(pattern: string, address: ServerAddress, time: Date): string {
  const values: Readonly<Record<string, string>> = {
    host: hostPart(address),
    port: address.transport === 'unix' ? 'unix' : String(address.port),
    time: `${strftime(time, 'Y')}${strftime(time, 'm')}${strftime(time, 'd')}-${strftime(time, 'H')}${strftime(time, 'M')}${strftime(time, 'S')}`,
  }
  return pattern.replace(/\{([^{}]*)\}|%(.?)/g, (_, place?: string, letter?: string) => {
    if (place !== undefined) {
      const value = values[place]
      if (value === undefined) throw unknownPlace(`{${place}}`)
      return value
    }
    return strftime(time, letter ?? '')
  })
}

// A host may be a path or hold a colon: neither may make a directory or trouble a shell.
function hostPart(address: ServerAddress): string {
  const host =
    address.transport === 'unix'
      ? basename(address.socketPath ?? '')
      : (address.name ?? address.host)
  return host.replace(/[^\w.-]/g, '_')
}

function strftime(time: Date, letter: string): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  switch (letter) {
    case 'Y':
      return String(time.getFullYear())
    case 'y':
      return two(time.getFullYear() % 100)
    case 'm':
      return two(time.getMonth() + 1)
    case 'd':
      return two(time.getDate())
    case 'H':
      return two(time.getHours())
    case 'M':
      return two(time.getMinutes())
    case 'S':
      return two(time.getSeconds())
    case 'j':
      return String(dayOfYear(time)).padStart(3, '0')
    case 's':
      return String(Math.floor(time.getTime() / 1000))
    case 'F':
      return `${strftime(time, 'Y')}-${strftime(time, 'm')}-${strftime(time, 'd')}`
    case 'T':
      return `${strftime(time, 'H')}:${strftime(time, 'M')}:${strftime(time, 'S')}`
    case '%':
      return '%'
    default:
      throw unknownPlace(`%${letter}`)
  }
}

function dayOfYear(time: Date): number {
  const begin = Date.UTC(time.getFullYear(), 0, 1)
  return (Date.UTC(time.getFullYear(), time.getMonth(), time.getDate()) - begin) / 86_400_000 + 1
}

function unknownPlace(place: string): UsageError {
  return new UsageError(`the file name holds ${place}, which means nothing here`, {
    hint: 'known are {host} {port} {time} and %Y %y %m %d %H %M %S %j %s %F %T %%',
  })
}
