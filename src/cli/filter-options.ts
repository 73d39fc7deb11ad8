/** `--db --match --no-match --regex --type --min-size --ttl`: the filters that commands share. */
import { type Command, Option } from 'commander'
import type { KeyFilterOptions } from '../source/key-filter.js'
import { parseRegex } from './regex.js'
import { collect, parseCount, parseList, parseSize } from './units.js'

export interface FilterOptions {
  db?: number[]
  match?: string[]
  noMatch?: string[]
  regex?: RegExp
  type?: string[]
  minSize?: number
  ttl?: 'any' | 'none' | 'expired' | 'live'
}

export interface FilterChoice {
  /** False for commands that see no values (`tail`): only db and name. */
  byValue: boolean
}

export function addFilterOptions(
  command: Command,
  { byValue }: FilterChoice = { byValue: true },
): Command {
  command
    .option('--db <n,…>', 'only these databases', (text) => parseList(text).map(parseCount))
    .option('--match <glob>', 'only keys that match (repeatable)', collect)
    // Named by hand: commander takes a plain --no-match for the negation of --match.
    .addOption(negated('--no-match <glob>', 'noMatch', 'no keys that match (repeatable)'))
    .option('--regex <re>', 'only keys that match this (no lookaround, no \\1)', parseRegex)
  if (!byValue) return command
  return command
    .option(
      '--type <type,…>',
      'only string, list, set, zset, hash, stream or a module type',
      parseList,
    )
    .option('--min-size <bytes>', 'only keys of at least so many bytes, e.g. 10mb', parseSize)
    .addOption(
      new Option('--ttl <which>', 'only keys with, without, past or before their expiry').choices([
        'any',
        'none',
        'expired',
        'live',
      ]),
    )
}

export function readFilterOptions(options: FilterOptions): KeyFilterOptions {
  return {
    ...(options.db === undefined ? {} : { dbs: options.db }),
    ...(options.match === undefined ? {} : { match: options.match }),
    ...(options.noMatch === undefined ? {} : { noMatch: options.noMatch }),
    ...(options.regex === undefined ? {} : { regex: options.regex }),
    ...(options.type === undefined ? {} : { types: options.type }),
    ...(options.minSize === undefined ? {} : { minSizeBytes: options.minSize }),
    ...(options.ttl === undefined ? {} : { ttl: options.ttl }),
  }
}

function negated(flags: string, name: string, description: string): Option {
  const option = new Option(flags, description).argParser(collect)
  option.negate = false
  option.attributeName = () => name
  return option
}
