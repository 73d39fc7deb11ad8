/** `rrep inspect --html FILE`: the page, and for each of its questions the line that asks it. */
import { countOf, formatSize } from '../../../bytes/figures-text.js'
import type { Source } from '../../../source/classify.js'
import { inspectReport, type InspectReportResult } from '../../../verbs/inspect/report.js'
import type { InspectReportOptions, InspectResult } from '../../../verbs/inspect/options.js'
import { askQuestions, shellQuote, sourceText } from '../page-questions.js'
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
    ask: askQuestions(source),
    madeBy: `rrep inspect ${source}${since} --html ${shellQuote(output)}`,
    version: packageVersion(),
  })
  return result
}

export function pageLine(result: InspectResult, output: string): string {
  return `${output}: ${countOf(result.keys, 'key')}, ${formatSize(result.memory)}`
}
