/** `--db --match --no-match --regex --type --min-size --ttl --idle`: the filters that commands share. */
import { type Command, Option } from 'commander'
import { UsageError } from '../errors.js'
import type { KeyFilterOptions, TimeBound } from '../source/key-filter.js'
import { parseRegex } from './regex.js'
import { collect, parseCount, parseDuration, parseList, parseSize } from './units.js'

export interface FilterOptions {
  db?: number[]
  match?: string[]
  noMatch?: string[]
  regex?: RegExp
  type?: string[]
  minSize?: number
  ttl?: KeyFilterOptions['ttl']
  idle?: TimeBound
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
    .option(
      '--ttl <which>',
      "any, none, expired or live, or time left as in '<1h', '>7d'",
      parseTtl,
    )
    .option('--idle <bound>', "not used for so long, as in '>30d', where the dump says", parseBound)
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
    ...(options.idle === undefined ? {} : { idle: options.idle }),
  }
}

const TTL_WORDS = ['any', 'none', 'expired', 'live'] as const

function parseTtl(text: string): NonNullable<KeyFilterOptions['ttl']> {
  const word = TTL_WORDS.find((each) => each === text)
  return word ?? parseBound(text)
}

function parseBound(text: string): TimeBound {
  const found = /^([<>])(.+)$/.exec(text.trim())
  if (found === null) {
    throw new UsageError(`not a bound of time: ${text}`, {
      hint: "write '<1h' or '>30d', in quotes; --ttl also takes any, none, expired and live",
    })
  }
  const ms = parseDuration(found[2]!)
  return found[1] === '>' ? { aboveMs: ms } : { belowMs: ms }
}

function negated(flags: string, name: string, description: string): Option {
  const option = new Option(flags, description).argParser(collect)
  option.negate = false
  option.attributeName = () => name
  return option
}
