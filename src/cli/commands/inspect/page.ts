/** `rrep inspect --html FILE`: the page, and for each of its questions the line that asks it. */
import { Buffer, isUtf8 } from 'node:buffer'
import { printable } from '../../../bytes/printable.js'
import { countOf, formatSize } from '../../../bytes/figures-text.js'
import type { Source } from '../../../source/classify.js'
import { inspectReport, type InspectReportResult } from '../../../verbs/inspect/report.js'
import type { InspectReportOptions, InspectResult } from '../../../verbs/inspect/options.js'
import { packageVersion } from '../../package-file.js'
import type { Talk } from '../../talk.js'

interface PageCall {
  readonly talk: Talk
  readonly options: { readonly html?: string; readonly compare?: string }
}

export async function writePage(
  file: Source,
  named: string | undefined,
  base: Omit<InspectReportOptions, 'output'>,
  { talk, options: { html: output = '-', compare } }: PageCall,
): Promise<InspectReportResult> {
  const source = sourceText(named)
  const since = compare === undefined ? '' : ` --compare ${sourceText(compare)}`
  const result = await inspectReport(file, {
    ...base,
    output: output === '-' ? talk.stdout(false) : output,
    ask: (question) => lineOf(question, source),
    madeBy: `rrep inspect ${source}${since} --html ${shellQuote(output)}`,
    version: packageVersion(),
  })
  return result
}

export function pageLine(result: InspectResult, output: string): string {
  return `${output}: ${countOf(result.keys, 'key')}, ${formatSize(result.memory)}`
}

type Question = Parameters<NonNullable<InspectReportOptions['ask']>>[0]

function lineOf(question: Question, source: string): string | undefined {
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
  }
}

const MOST_BYTES = 200

/** What a person can paste into a shell without a fright. */
function isSane(name: Buffer): boolean {
  return name.length > 0 && name.length <= MOST_BYTES
}

/** Of names that are plain text: a glob has no form for other bytes. */
function globOf(prefix: Buffer): string | undefined {
  if (!isSane(prefix) || !isUtf8(prefix)) return undefined
  const text = prefix.toString('utf8')
  if (printable(prefix) !== text.replaceAll('\\', '\\\\')) return undefined
  // A merged piece is a star already, and any name fits it.
  return shellQuote(`${text.replace(/[[\]?\\^]/g, '\\$&')}*`)
}

function shellQuote(text: string): string {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

/** The source as it was typed; not where a password may be in it. */
function sourceText(named: string | undefined): string {
  if (named === undefined || named === '-' || /:\/\/[^/]*@/.test(named)) return 'SOURCE'
  return shellQuote(printable(Buffer.from(named)))
}
