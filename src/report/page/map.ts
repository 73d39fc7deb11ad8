/** Draws a node of the tree: its children as cells and as rows of the table, and the way to it. */
import { countOf, formatCount, formatSize, percent } from '../../bytes/figures-text.js'
import { squarify, type Rect } from './squarify.js'
import type { Node } from './tree.js'

export type Measure = 'memory' | 'keys'

/** What a cell or a row shows: a child, or the keys that no child has. */
interface Shown {
  readonly label: string
  readonly node: Node | undefined
  readonly keys: number
  readonly memory: number
  readonly lastingMemory: number
  readonly soonKeys: number
  readonly largest: number | undefined
}

/** More have no area that could be seen. */
const MAX_CELLS = 120
const MAX_ROWS = 200
/** In percent of the map: smaller cells show no text. */
const LABEL_WIDTH = 5
const LABEL_HEIGHT = 7
/** Pixels that figures take, so that none is cut. */
const FIGURES_WIDTH = 84
const STEPS = 5
/** In pixels: the text of a cell, and around what is seen below it. */
const HEAD_HEIGHT = 66
const PADDING = 8
const INNER_WIDTH = 90
const INNER_HEIGHT = 40
const INNER_LEAST = 5
const INNER_LABEL_WIDTH = 60
const INNER_LABEL_HEIGHT = 24
const MAX_INNER = 40

export interface MapParts {
  readonly cells: HTMLElement
  readonly crumbs: HTMLElement
  readonly status: HTMLElement
  readonly table: HTMLTableElement
}

export function drawNode(
  node: Node,
  root: Node,
  measure: Measure,
  parts: MapParts,
  go: (node: Node) => void,
): void {
  const shown = shownOf(node).sort((a, b) => b[measure] - a[measure])
  drawCells(shown, node, measure, parts.cells, go)
  drawCrumbs(node, parts.crumbs)
  drawTable(shown, root, parts.table, go)
  parts.status.textContent =
    `${node.path === '' ? 'All keys' : node.path} · ${formatSize(node.memory)} ` +
    `(${percent(root.memory === 0 ? 0 : node.memory / root.memory)}) in ${countOf(node.keys, 'key')}` +
    (node.merged > 0 ? '; * stands for names that were merged' : '')
}

function shownOf(node: Node): Shown[] {
  const shown: Shown[] = node.children.map((child) => ({
    label: child.name,
    node: child,
    keys: child.keys,
    memory: child.memory,
    lastingMemory: child.lastingMemory,
    soonKeys: child.soonKeys,
    largest: child.largest,
  }))
  const sum = (of: (child: Node) => number): number =>
    node.children.reduce((total, child) => total + of(child), 0)
  const rest = {
    keys: node.keys - sum((child) => child.keys),
    memory: node.memory - sum((child) => child.memory),
    lastingMemory: node.lastingMemory - sum((child) => child.lastingMemory),
    soonKeys: node.soonKeys - sum((child) => child.soonKeys),
  }
  if (rest.keys > 0) {
    // Own keys and prefixes that the page has no room for.
    const isOwn = rest.keys === node.ownKeys
    const label = !isOwn ? 'other' : node.parent === undefined ? 'no prefix' : 'keys here'
    shown.push({ ...rest, label, node: undefined, largest: isOwn ? node.ownLargest : undefined })
  }
  return shown.filter(({ keys }) => keys > 0)
}

function drawCells(
  shown: readonly Shown[],
  node: Node,
  measure: Measure,
  cells: HTMLElement,
  go: (node: Node) => void,
): void {
  const drawn = shown.filter((each) => each[measure] > 0).slice(0, MAX_CELLS)
  const { width, height } = cells.getBoundingClientRect()
  const rects = squarify(
    drawn.map((each) => each[measure]),
    { x: 0, y: 0, width: 100, height: width === 0 ? 50 : (height / width) * 100 },
  )
  const scaleY = width === 0 ? 2 : width / height
  const made = drawn.map((each, at) => {
    const rect = rects[at]!
    const cell = document.createElement(canEnter(each) ? 'button' : 'div')
    const share = each.memory === 0 ? 0 : each.lastingMemory / each.memory
    cell.className = `cell ${lookOf(each)}${canEnter(each) ? ' enter' : ''}`
    cell.style.left = `${rect.x}%`
    cell.style.top = `${rect.y * scaleY}%`
    cell.style.width = `${rect.width}%`
    cell.style.height = `${rect.height * scaleY}%`
    const figures = [formatSize(each.memory), countOf(each.keys, 'key')]
    const isWide = (rect.width / 100) * width > FIGURES_WIDTH
    if (!isWide || rect.width < LABEL_WIDTH || rect.height * scaleY < LABEL_HEIGHT) {
      cell.classList.add('small')
    }
    cell.append(nameElement(each.label), ...figures.map(figuresElement))
    cell.title = `${node.path}${each.node === undefined ? `(${each.label})` : each.label}\n${figures.join(', ')}, ${percent(share)} never expires`
    if (cell instanceof HTMLButtonElement && each.node !== undefined) {
      const target = each.node
      addInner(cell, target, measure, {
        x: PADDING,
        y: HEAD_HEIGHT,
        width: (rect.width / 100) * width - 2 * PADDING,
        height: ((rect.height * scaleY) / 100) * height - HEAD_HEIGHT - PADDING,
      })
      cell.type = 'button'
      cell.addEventListener('click', () => go(target))
    }
    return cell
  })
  cells.replaceChildren(...made)
}

/** What is below a large cell, to be seen through it. */
function addInner(cell: HTMLElement, node: Node, measure: Measure, room: Rect): void {
  if (room.width < INNER_WIDTH || room.height < INNER_HEIGHT) return
  const shown = shownOf(node)
    .filter((each) => each[measure] > 0)
    .sort((a, b) => b[measure] - a[measure])
    .slice(0, MAX_INNER)
  const rects = squarify(
    shown.map((each) => each[measure]),
    room,
  )
  for (const [at, each] of shown.entries()) {
    const rect = rects[at]!
    if (Math.min(rect.width, rect.height) < INNER_LEAST) continue
    const inner = document.createElement('span')
    inner.className = `inner ${lookOf(each)}`
    inner.setAttribute('aria-hidden', 'true')
    inner.style.left = `${rect.x}px`
    inner.style.top = `${rect.y}px`
    inner.style.width = `${rect.width}px`
    inner.style.height = `${rect.height}px`
    if (rect.width > INNER_LABEL_WIDTH && rect.height > INNER_LABEL_HEIGHT) {
      inner.append(nameElement(each.label))
    }
    cell.append(inner)
  }
}

/** By the share that never expires. */
function lookOf({ memory, lastingMemory }: Shown): string {
  return `l${Math.round((memory === 0 ? 0 : lastingMemory / memory) * STEPS)}`
}

function canEnter({ node }: Shown): boolean {
  return node !== undefined && node.children.length > 0
}

function nameElement(text: string): HTMLElement {
  const name = document.createElement('bdi')
  name.className = 'name'
  name.textContent = text
  return name
}

function figuresElement(text: string): HTMLElement {
  const figures = document.createElement('span')
  figures.className = 'figures'
  figures.textContent = text
  return figures
}

function drawCrumbs(node: Node, crumbs: HTMLElement): void {
  const way: Node[] = []
  for (let each: Node | undefined = node; each !== undefined; each = each.parent) way.unshift(each)
  const items = way.map((each) => {
    const item = document.createElement('li')
    const isHere = each === node
    const link = document.createElement('a')
    link.href = addressOf(each)
    link.append(nameElement(each.parent === undefined ? 'all keys' : each.name))
    if (isHere) link.setAttribute('aria-current', 'page')
    item.append(link)
    return item
  })
  crumbs.replaceChildren(...items)
}

function drawTable(
  shown: readonly Shown[],
  root: Node,
  table: HTMLTableElement,
  go: (node: Node) => void,
): void {
  const body = table.tBodies[0]!
  const rows = shown.slice(0, MAX_ROWS).map((each) => {
    const row = document.createElement('tr')
    const head = document.createElement('th')
    head.scope = 'row'
    head.className = 'left'
    if (each.node !== undefined && canEnter(each)) {
      const target = each.node
      const link = document.createElement('a')
      link.href = addressOf(target)
      link.append(nameElement(each.label))
      link.addEventListener('click', (event) => {
        event.preventDefault()
        go(target)
      })
      head.append(link)
    } else if (each.node !== undefined) {
      head.append(nameElement(each.label))
    } else {
      const label = document.createElement('em')
      label.textContent = each.label
      head.append(label)
    }
    row.append(head)
    const share = root.memory === 0 ? 0 : each.memory / root.memory
    for (const text of [formatCount(each.keys), formatSize(each.memory), percent(share)]) {
      row.append(figureCell(text))
    }
    const bar = document.createElement('td')
    bar.className = 'bars'
    bar.append(barElement(share))
    row.append(bar)
    for (const text of [
      formatSize(each.lastingMemory),
      formatCount(each.soonKeys),
      formatSize(each.memory / each.keys),
      each.largest === undefined ? '' : formatSize(each.largest),
    ]) {
      row.append(figureCell(text))
    }
    return row
  })
  body.replaceChildren(...rows)
}

function figureCell(text: string): HTMLElement {
  const cell = document.createElement('td')
  cell.className = 'right'
  cell.textContent = text
  if (/^0( B)?$/.test(text)) cell.classList.add('none')
  return cell
}

const SVG = 'http://www.w3.org/2000/svg'

function barElement(share: number): SVGElement {
  const bar = document.createElementNS(SVG, 'svg')
  bar.setAttribute('class', 'bar')
  bar.setAttribute('viewBox', '0 0 100 6')
  bar.setAttribute('preserveAspectRatio', 'none')
  bar.setAttribute('aria-hidden', 'true')
  for (const [look, width] of [
    ['track', 100],
    ['data', share === 0 ? 0 : Math.max(0.4, share * 100)],
  ] as const) {
    const rect = document.createElementNS(SVG, 'rect')
    rect.setAttribute('class', look)
    rect.setAttribute('width', String(width))
    rect.setAttribute('height', '6')
    bar.append(rect)
  }
  return bar
}

/** The part of the address that names a place; the root has none. */
export function addressOf(node: Node): string {
  return node.parent === undefined ? '#prefixes' : `#p=${encodeURIComponent(node.path)}`
}
