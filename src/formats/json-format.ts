/** JSON lines and JSON as formats of keys; how a key looks is in `json-keys.ts`. */
import { JsonKeys } from './json-keys.js'
import type { KeyFormat, KeyFormatCounts, KeyFormatRun, KeyWriter } from './key-format.js'

export const JSON_LINES: KeyFormat = {
  extensions: ['jsonl', 'ndjson'],
  isBinary: false,
  modules: 'null',
  goesInPieces: true,
  functions: false,
  create: (run) => new JsonWriter(run, 'lines'),
}

export const JSON_ARRAY: KeyFormat = {
  extensions: ['json'],
  isBinary: false,
  modules: 'null',
  goesInPieces: true,
  functions: false,
  create: (run) => new JsonWriter(run, 'array'),
}

class JsonWriter implements KeyWriter {
  readonly visitor: JsonKeys
  #functions = 0

  constructor(run: KeyFormatRun, layout: 'lines' | 'array') {
    this.visitor = new JsonKeys(run.out, run.kernel, {
      strings: run.strings,
      layout,
      wanted: run.wanted,
      allStrings: run.isFree,
      isPiece: run.isPiece ?? false,
      functionLibrary: () => (this.#functions += 1),
    })
  }

  get counts(): KeyFormatCounts {
    const { keys, inexactStrings, unorderedValues } = this.visitor
    const functions = this.#functions
    return { keys, functions, commands: 0, losses: {}, inexactStrings, unorderedValues }
  }

  goOn(): void {
    this.visitor.goOn()
  }

  finish(): void {
    this.visitor.finish()
  }
}
