/**
 * Stacks for --debug: with their causes, and with places of the sources where rrep runs as a
 * bundle. The bundle is a script that Node does not know as a module, so its own --enable-source-maps
 * does nothing for it.
 */
import { readFileSync } from 'node:fs'
import { SourceMap, type SourceMapPayload } from 'node:module'

/** The error and what caused it, each with its stack. */
export function stackOf(error: unknown): string {
  const lines: string[] = []
  for (let each = error; each instanceof Error; each = each.cause) {
    lines.push(`${lines.length === 0 ? '' : 'caused by '}${each.stack ?? each.message}`)
  }
  return inSources(lines.join('\n'))
}

/** `/where/it/is/run.js:40:5` → `src/cli/main.ts:30:5`, where a map lies beside the script. */
function inSources(stack: string): string {
  const maps = new Map<string, SourceMap | undefined>()
  return stack.replace(
    /([^\s()]+\/run\.js):(\d+):(\d+)/g,
    (place, script: string, line, column) => {
      if (!maps.has(script)) maps.set(script, mapOf(script))
      const entry = maps.get(script)?.findEntry(Number(line) - 1, Number(column) - 1)
      if (entry === undefined || !('originalSource' in entry)) return place
      const source = entry.originalSource.replace(/^.*?(?=(src|node_modules)\/)/, '')
      return `${source}:${entry.originalLine + 1}:${entry.originalColumn + 1}`
    },
  )
}

function mapOf(script: string): SourceMap | undefined {
  try {
    return new SourceMap(JSON.parse(readFileSync(`${script}.map`, 'utf8')) as SourceMapPayload)
  } catch {
    return undefined
  }
}
