/**
 * Makes src/README.md: the examples (examples.ts), each public function with what its docstring says,
 * the types, and the codes of errors. `npm run docs` writes it; a test says when it is out of date.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { format, resolveConfig } from 'prettier'
import ts from 'typescript'
import { ERROR_CODES } from '../../src/errors.js'
import { isPublic, publicSymbols } from './public-types.js'

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

/** Functions, then classes and types, as index.ts exports them. */
function declarations(): string[] {
  const functions: string[] = []
  const classes: string[] = []
  const types: string[] = []
  for (const { name, symbol } of publicSymbols().symbols) {
    for (const node of symbol.declarations ?? []) {
      if (ts.isFunctionDeclaration(node)) functions.push(functionOf(node, name))
      else if (ts.isClassDeclaration(node)) classes.push(classOf(node))
      else if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) {
        types.push(typeOf(node))
      }
    }
  }
  return [
    ...['## Functions', ...functions],
    ...['## Classes', ['```ts', ...classes, '```'].join('\n')],
    ...['## Types', ['```ts', ...types, '```'].join('\n')],
  ]
}

function functionOf(node: ts.FunctionDeclaration, name: string): string {
  const source = node.getSourceFile()
  const head = source.text.slice(node.getStart(source), node.body!.getStart(source)).trim()
  const signature = head
    .replace(/^export (?:async )?/, '')
    .replace(`function ${node.name!.text}`, `function ${name}`)
  return `### ${name}\n\n\`\`\`ts\n${signature}\n\`\`\`\n\n${docOf(node)}`
}

function classOf(node: ts.ClassDeclaration): string {
  const heritage = (node.heritageClauses ?? []).map((clause) => ` ${clause.getText()}`).join('')
  const members = node.members.filter(isPublic).map((member) => {
    const body =
      'body' in member && member.body !== undefined ? (member.body as ts.Node) : undefined
    const value = ts.isPropertyDeclaration(member) ? member.initializer : undefined
    const end = body?.getStart() ?? value?.getStart() ?? member.getEnd()
    const text = node.getSourceFile().text.slice(member.getStart(), end)
    const head = text.replace(/\s*=?\s*$/, '').replace(/^async /, '')
    return `${commentOf(member)}${head}${inferredType(member)}`
  })
  return `${commentOf(node)}class ${node.name!.text}${heritage} {\n${members.join('\n')}\n}\n`
}

function inferredType(member: ts.ClassElement): string {
  if (!ts.isPropertyDeclaration(member) || member.type !== undefined) return ''
  const { checker } = publicSymbols()
  return `: ${checker.typeToString(checker.getTypeAtLocation(member))}`
}

function typeOf(node: ts.InterfaceDeclaration | ts.TypeAliasDeclaration): string {
  const source = node.getSourceFile()
  let text = node.getText()
  for (const member of ts.isInterfaceDeclaration(node) ? [...node.members].reverse() : []) {
    if (isPublic(member)) continue
    const [from, to] = [member.getFullStart(), member.getEnd()].map(
      (at) => at - node.getStart(source),
    )
    text = text.slice(0, from) + text.slice(to)
  }
  return `${commentOf(node)}${text.replace(/^export /, '')}\n`
}

function commentOf(node: ts.Node): string {
  const doc = docOf(node)
  return doc === '' ? '' : `/** ${doc.replaceAll('\n', '\n * ')} */\n`
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
