/** What the script adds to the page: the map of prefixes, the search, the switch of colours. */
import { addressOf, drawNode, type Measure } from './map.js'
import { startTheme } from './theme.js'
import { placeOf, readTree, type Node, type PageData } from './tree.js'

const MAX_FOUND = 12

function byId(id: string): HTMLElement | null {
  return document.getElementById(id)
}

function start(): void {
  startTheme()
  startCommands()
  const map = byId('map')
  const cells = byId('cells')
  const crumbs = byId('crumbs')
  const status = byId('status')
  const table = byId('prefix-table')
  const find = byId('find')
  const found = byId('found')
  if (map === null || cells === null || crumbs === null || status === null) return
  if (!(table instanceof HTMLTableElement) || !(find instanceof HTMLInputElement)) return
  const { prefixes, keys } = JSON.parse(byId('data')?.textContent ?? '{}') as PageData
  const tree = readTree(prefixes)
  const names = [...tree.byPath.keys(), ...keys]
  let measure: Measure = 'memory'
  let here = nodeOfAddress()
  map.hidden = false

  const draw = (): void =>
    drawNode(here, tree.root, measure, { cells, crumbs, status, table }, (node) => go(node))
  const go = (node: Node): void => {
    if (node === here) return
    // The browser tells of it: forward and back work as well.
    location.hash = addressOf(node)
  }
  function nodeOfAddress(): Node {
    const place = /^#p=(.*)$/s.exec(location.hash)?.[1]
    if (place === undefined) return tree.root
    try {
      return tree.byPath.get(decodeURIComponent(place)) ?? tree.root
    } catch {
      return tree.root
    }
  }
  addEventListener('hashchange', () => {
    // Other places of the page leave the map as it is.
    if (!/^$|^#p=|^#prefixes$/.test(location.hash)) return
    here = nodeOfAddress()
    const hadFocus = cells.contains(document.activeElement)
    draw()
    if (hadFocus) {
      const first = cells.querySelector('button') ?? crumbs.querySelector('a:last-of-type')
      if (first instanceof HTMLElement) first.focus({ preventScroll: true })
    }
  })
  for (const input of map.querySelectorAll('input[name=measure]')) {
    input.addEventListener('change', () => {
      measure = (input as HTMLInputElement).value as Measure
      draw()
    })
  }
  let width = 0
  new ResizeObserver(() => {
    const now = cells.clientWidth
    if (now === width) return
    width = now
    draw()
  }).observe(cells)

  find.addEventListener('input', () => {
    const text = find.value
    const hits = text === '' ? [] : names.filter((name) => name.includes(text))
    hits.sort((a, b) => a.indexOf(text) - b.indexOf(text) || a.length - b.length)
    found?.replaceChildren(
      ...hits.slice(0, MAX_FOUND).map((name) => {
        const option = document.createElement('option')
        option.value = name
        return option
      }),
    )
    if (tree.byPath.has(text) && text !== '') go(tree.byPath.get(text)!)
  })
  find.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return
    const text = find.value
    const exact = tree.byPath.get(text)
    const place = exact ?? placeOf(tree, text)
    if (place !== tree.root) {
      go(place)
      return
    }
    const hit = names.find((name) => text !== '' && name.includes(text))
    if (hit === undefined) status.textContent = `Nothing is called ${text}`
    else go(placeOf(tree, hit))
  })
  draw()
  if (location.hash.startsWith('#p=')) byId('prefixes')?.scrollIntoView()
}

/** Commands are there to be copied. */
function startCommands(): void {
  for (const command of document.querySelectorAll('.command')) {
    const text = command.querySelector('code')?.textContent ?? ''
    const button = document.createElement('button')
    button.type = 'button'
    button.textContent = 'Copy'
    button.addEventListener('click', () => {
      navigator.clipboard.writeText(text).then(
        () => told(button, 'Copied'),
        () => told(button, 'Not allowed'),
      )
    })
    command.append(button)
  }
}

function told(button: HTMLButtonElement, text: string): void {
  button.textContent = text
  setTimeout(() => {
    button.textContent = 'Copy'
  }, 1500)
}

start()
