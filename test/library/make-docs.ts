/**
 * Makes src/README.md: the examples (examples.ts), each public function with what its docstring says,
 * the types, and the codes of errors. `npm run docs` writes it; a test says when it is out of date.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { format, resolveConfig } from 'prettier'
import ts from 'typescript'
import { ERROR_CODES } from '../../src/errors.js'

const ROOT = join(import.meta.dirname, '../..')
const PAGE = join(ROOT, 'src/README.md')

export async function makeDocs(): Promise<string> {
  const text = [
    '# The library of rrep',
    'Made by `npm run docs` from the types and from `test/library/examples.ts`, which a test runs.',
    introduction(),
    '## Examples',
    ...examples(),
    ...declarations(),
    '## Codes of errors',
    'Every error is an `RrepError` with one of these as its `code`:',
    ['| code | what it means |', '| --- | --- |', ...codes()].join('\n'),
  ].join('\n\n')
  return await format(`${text}\n`, { ...(await resolveConfig(PAGE)), filepath: PAGE })
}

function introduction(): string {
  const text = readFileSync(join(ROOT, 'src/library.ts'), 'utf8')
  return plain(/^\/\*\*([\s\S]*?)\*\//.exec(text)![1]!)
}

function examples(): string[] {
  const text = readFileSync(join(import.meta.dirname, 'examples.ts'), 'utf8')
  const found = [...text.matchAll(/^( *)\/\/ example: (.*)\n([\s\S]*?)^ *\/\/ end\n/gm)]
  return found.map(([, indent, title, code]) => {
    const body = code!.replaceAll(new RegExp(`^${indent!}`, 'gm'), '')
    const names = NAMES.filter((name) => new RegExp(`\\b${name}\\b`).test(body))
    return `**${title!}.**\n\n\`\`\`ts\nimport { ${names.join(', ')} } from 'rrep'\n\n${body}\`\`\``
  })
}

const NAMES = [
  ...['archive', 'diff', 'exportKeys', 'inspect', 'InputError', 'openArchive', 'readRdb', 'replay'],
  ...['RrepError', 'serve', 'sync', 'tail'],
]

function codes(): string[] {
  return Object.entries(ERROR_CODES).map(([code, line]) => `| \`${code}\` | ${line} |`)
}

/** Functions, then types, as index.ts exports them. */
function declarations(): string[] {
  const index = join(ROOT, 'src/index.ts')
  const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) => ts.sys.readFile(path))
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT)
  const program = ts.createProgram([index], options)
  const checker = program.getTypeChecker()
  const module = checker.getSymbolAtLocation(program.getSourceFile(index)!)!
  const functions: string[] = []
  const types: string[] = []
  const seen = new Set<ts.Node>()
  for (const exported of checker.getExportsOfModule(module)) {
    const symbol =
      (exported.flags & ts.SymbolFlags.Alias) === 0 ? exported : checker.getAliasedSymbol(exported)
    for (const node of symbol.declarations ?? []) {
      if (seen.has(node)) continue
      seen.add(node)
      if (ts.isFunctionDeclaration(node)) functions.push(functionOf(node, exported.name))
      else if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) {
        types.push(typeOf(node))
      }
    }
  }
  return ['## Functions', ...functions, '## Types', ['```ts', ...types, '```'].join('\n')]
}

function functionOf(node: ts.FunctionDeclaration, name: string): string {
  const source = node.getSourceFile()
  const head = source.text.slice(node.getStart(source), node.body!.getStart(source)).trim()
  const signature = head
    .replace(/^export (?:async )?/, '')
    .replace(`function ${node.name!.text}`, `function ${name}`)
  return `### ${name}\n\n\`\`\`ts\n${signature}\n\`\`\`\n\n${docOf(node)}`
}

function typeOf(node: ts.InterfaceDeclaration | ts.TypeAliasDeclaration): string {
  const doc = docOf(node)
  const comment = doc === '' ? '' : `/** ${doc.replaceAll('\n', '\n * ')} */\n`
  return `${comment}${node.getText().replace(/^export /, '')}\n`
}

function docOf(node: ts.Node): string {
  const source = node.getSourceFile()
  const ranges = ts.getLeadingCommentRanges(source.text, node.getFullStart()) ?? []
  const last = ranges.at(-1)
  if (last === undefined) return ''
  const text = source.text.slice(last.pos, last.end)
  // The first comment of a file is the file's, where a blank line follows.
  if (!text.startsWith('/**') || /^\s*\n\s*\n/.test(source.text.slice(last.end))) return ''
  return plain(text.slice(3, -2))
}

function plain(comment: string): string {
  return comment
    .replaceAll(/^\s*\* ?/gm, '')
    .replace(/^\s+/, '')
    .trimEnd()
}

if (process.argv[2] === 'write') writeFileSync(PAGE, await makeDocs())
