/** Where the memory goes by name: a map with its table, both of which follow the address. */
import type { MemoryReport } from '../../analyze/distributions/distributions.js'
import type { PrefixNode } from '../../analyze/distributions/prefix-figures.js'
import { html, type Html } from '../html.js'
import { nameHtml } from '../names.js'
import { count, share, size, table, type TableColumn } from '../tables.js'

const SHOWN = 40

const COLUMNS: readonly TableColumn[] = [
  { title: 'Prefix' },
  { title: 'Keys', align: 'right' },
  { title: 'Memory', align: 'right' },
  { title: 'Share', align: 'right' },
  { title: '' },
  { title: 'Never expires', align: 'right' },
  { title: 'Within a day', align: 'right' },
  { title: 'Mean', align: 'right' },
  { title: 'Largest', align: 'right' },
]

export function prefixSection(report: MemoryReport): Html {
  const { prefixes } = report
  const rows = [
    ...prefixes.children.slice(0, SHOWN).map((node) => row(nameHtml(node.prefix), node, report)),
    ...(prefixes.own.keys > 0 ? [row(html`<em>no prefix</em>`, prefixes.own, report)] : []),
    ...rest(prefixes, report),
  ]
  return html`<div class="map" id="map" hidden>
      <div class="maptools">
        <nav aria-label="Place in the tree of prefixes"><ol class="crumbs" id="crumbs"></ol></nav>
        <div class="controls">
          <label class="find"
            >Find a key or prefix<input
              id="find"
              type="search"
              autocomplete="off"
              spellcheck="false"
              list="found" /></label
          ><datalist id="found"></datalist>
          <fieldset class="measure">
            <legend>Area</legend>
            <label
              ><input type="radio" name="measure" value="memory" checked /><span
                >Memory</span
              ></label
            ><label><input type="radio" name="measure" value="keys" /><span>Keys</span></label>
          </fieldset>
        </div>
      </div>
      <p class="status" id="status" role="status"></p>
      <div class="cells" id="cells" role="group" aria-label="Prefixes by area"></div>
      <p class="legend">
        <span>expires</span
        ><span class="steps" aria-hidden="true"
          ><i class="l0"></i><i class="l1"></i><i class="l2"></i><i class="l3"></i><i class="l4"></i
          ><i class="l5"></i></span
        ><span>never expires</span>
      </p>
    </div>
    ${table('Memory by prefix', COLUMNS, rows, 'prefix-table')}`
}

type Figures = PrefixNode['own']

function row(name: Html, figures: Figures, report: MemoryReport): Html[] {
  return [
    name,
    count(figures.keys),
    size(figures.memory),
    ...share(figures.memory, report.memory),
    size(figures.lastingMemory),
    count(figures.soonKeys),
    size(figures.keys === 0 ? 0 : figures.memory / figures.keys),
    size(figures.largest),
  ]
}

/** Children that have no row of their own. */
function rest(prefixes: PrefixNode, report: MemoryReport): Html[][] {
  const others = prefixes.children.slice(SHOWN)
  if (others.length === 0) return []
  const sum = (of: (node: PrefixNode) => number): number =>
    others.reduce((total, node) => total + of(node), 0)
  const figures: Figures = {
    keys: sum((node) => node.keys),
    memory: sum((node) => node.memory),
    lastingKeys: sum((node) => node.lastingKeys),
    lastingMemory: sum((node) => node.lastingMemory),
    soonKeys: sum((node) => node.soonKeys),
    soonMemory: sum((node) => node.soonMemory),
    largest: others.reduce((most, node) => Math.max(most, node.largest), 0),
    types: {},
  }
  return [row(html`<em>${others.length} others</em>`, figures, report)]
}
