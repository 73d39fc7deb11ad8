/** What `src/index.ts` exports, and which types of ours that names without exporting them. */
import { join } from 'node:path'
import ts from 'typescript'

const ROOT = join(import.meta.dirname, '../..')
const SRC = join(ROOT, 'src/')

export interface PublicSymbols {
  checker: ts.TypeChecker
  symbols: readonly { name: string; symbol: ts.Symbol }[]
}

let known: PublicSymbols | undefined

export function publicSymbols(): PublicSymbols {
  if (known !== undefined) return known
  const index = join(SRC, 'index.ts')
  const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) => ts.sys.readFile(path))
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT)
  const program = ts.createProgram([index], options)
  const checker = program.getTypeChecker()
  const module = checker.getSymbolAtLocation(program.getSourceFile(index)!)!
  const symbols = checker
    .getExportsOfModule(module)
    .map((exported) => ({ name: exported.name, symbol: original(checker, exported) }))
  known = { checker, symbols }
  return known
}

/** Not `#name`, not `private`, not marked as internal. */
export function isPublic(node: ts.Node): boolean {
  const { name } = node as { name?: ts.Node }
  if (name !== undefined && ts.isPrivateIdentifier(name)) return false
  if (ts.getJSDocTags(node).some((tag) => tag.tagName.text === 'internal')) return false
  const flags = ts.canHaveModifiers(node) ? ts.getModifiers(node) : undefined
  return flags?.every(({ kind }) => kind !== ts.SyntaxKind.PrivateKeyword) ?? true
}

/** `Name <- who names it`, of types and constants of ours alone. */
export function unexportedTypes(): string[] {
  const { checker, symbols } = publicSymbols()
  const exported = new Set(symbols.map(({ symbol }) => symbol))
  const missing = new Set<string>()
  const seen = new Set(exported)
  for (const symbol of seen) {
    for (const node of symbol.declarations ?? []) {
      if (node.getSourceFile().fileName.startsWith(SRC)) ts.forEachChild(node, visit)
    }

    function visit(node: ts.Node): void {
      if (ts.isBlock(node) || !isPublic(node)) return
      const name = nameIn(node)
      const found = name === undefined ? undefined : checker.getSymbolAtLocation(name)
      if (found !== undefined) note(original(checker, found))
      // What a member begins with is no part of its type.
      const value = ts.isPropertyDeclaration(node) ? node.initializer : undefined
      ts.forEachChild(node, (child) => (child === value ? undefined : visit(child)))
    }

    function note(found: ts.Symbol): void {
      const file = found.declarations?.[0]?.getSourceFile().fileName ?? ''
      if (!file.startsWith(SRC) || (found.flags & ts.SymbolFlags.TypeParameter) !== 0) return
      if (!exported.has(found)) missing.add(`${found.name} <- ${symbol.name}`)
      seen.add(found)
    }
  }
  return [...missing]
}

function nameIn(node: ts.Node): ts.Node | undefined {
  if (ts.isTypeReferenceNode(node)) return node.typeName
  if (ts.isTypeQueryNode(node)) return node.exprName
  if (ts.isImportTypeNode(node)) return node.qualifier
  if (ts.isExpressionWithTypeArguments(node)) return node.expression
  return undefined
}

function original(checker: ts.TypeChecker, symbol: ts.Symbol): ts.Symbol {
  return (symbol.flags & ts.SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol)
}
