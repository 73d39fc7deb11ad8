/** For each question of a page the line that asks it. */
import { Buffer, isUtf8 } from 'node:buffer'
import { printable } from '../../bytes/printable.js'
import type { ReportOptions, ReportQuestion } from '../../report/input.js'

/** @param source as `sourceText` has it */
export function askQuestions(source: string): NonNullable<ReportOptions['ask']> {
  return (question) => lineOf(question, source)
}

function lineOf(question: ReportQuestion, source: string): string | undefined {
  const line = `rrep inspect ${source}`
  switch (question.about) {
    case 'prefix': {
      const glob = globOf(question.prefix)
      if (glob === undefined) return undefined
      return `${line} --match ${glob}${question.onlyLasting ? ' --ttl none' : ''}`
    }
    case 'key':
      return isSane(question.key)
        ? `${line} --key ${shellQuote(printable(question.key))}`
        : undefined
    case 'type':
      return /^[a-z]+$/.test(question.type) ? `${line} --type ${question.type}` : undefined
    case 'lasting':
      return `${line} --ttl none`
    case 'expired':
      return `${line} --ttl expired --keys`
    case 'largest':
      return `${line} --top 50`
    case 'idle':
      return `${line} --idle '>30d' --keys`
    case 'everything':
      return `${line} --report`
    case 'tag': {
      const glob = globOf(question.tag, ['*{', '}*'])
      return glob === undefined ? undefined : `${line} --match ${glob}`
    }
    case 'growth':
      return `${line} --compare ${sourceText(question.older)} --top 50`
    case 'by-key':
      return `rrep tail ${source} --stats --by key`
    case 'written':
      if (question.command !== undefined) return `rrep tail ${source} --command ${question.command}`
      if (question.prefix !== undefined) {
        const glob = globOf(question.prefix)
        return glob === undefined ? undefined : `rrep tail ${source} --match ${glob}`
      }
      return question.key !== undefined && isSane(question.key)
        ? `rrep history ${source} ${shellQuote(question.key.toString())}`
        : undefined
    case 'before':
      return `${line} --until offset:${question.replOffset - 1}`
  }
}

const MOST_BYTES = 200

/** What a person can paste into a shell without a fright. */
function isSane(name: Buffer): boolean {
  return name.length > 0 && name.length <= MOST_BYTES
}

/** Of names that are plain text: a glob has no form for other bytes. */
function globOf(name: Buffer, [before, behind] = ['', '*']): string | undefined {
  if (!isSane(name) || !isUtf8(name)) return undefined
  const text = name.toString('utf8')
  if (printable(name) !== text.replaceAll('\\', '\\\\')) return undefined
  // A merged piece is a star already, and any name fits it.
  return shellQuote(`${before}${text.replace(/[[\]?\\^]/g, '\\$&')}${behind}`)
}

export function shellQuote(text: string): string {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

/** The source as it was typed; not where a password may be in it. */
export function sourceText(named: string | undefined): string {
  if (named === undefined || named === '-' || /:\/\/[^/]*@/.test(named)) return 'SOURCE'
  return shellQuote(printable(Buffer.from(named)))
}
