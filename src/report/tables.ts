/** Tables of the page: a caption for everybody, figures to the right, room to scroll when narrow. */
import { formatCount, formatSize, percent } from '../bytes/figures-text.js'
import { bar } from './charts.js'
import { html, type Html } from './html.js'

export interface TableColumn {
  readonly title: string
  readonly align?: 'right'
}

/** The first cell of a row names it. */
export function table(
  caption: string,
  columns: readonly TableColumn[],
  rows: readonly (readonly Html[])[],
  id?: string,
): Html {
  const head = columns.map((column) =>
    column.title === ''
      ? html`<td></td>`
      : html`<th scope="col" class="${lookOf(column)}">${column.title}</th>`,
  )
  const body = rows.map((cells) => {
    const [name, ...rest] = cells.map((cell, at) => [cell, lookOf(columns[at])] as const)
    return html`<tr>
      <th scope="row" class="${name![1]}">${name![0]}</th>
      ${rest.map(([cell, align]) => html`<td class="${align}">${cell}</td>`)}
    </tr>`
  })
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table${id === undefined ? undefined : html` id="${id}"`}><caption>${caption}</caption><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`
}

/** A column without a title has bars. */
function lookOf(column: TableColumn | undefined): string {
  return column?.title === '' ? 'bars' : (column?.align ?? 'left')
}

export function text(value: string): Html {
  return html`${value}`
}

export function count(value: number): Html {
  return value === 0 ? html`<span class="none">0</span>` : html`${formatCount(value)}`
}

export function size(bytes: number): Html {
  return bytes === 0 ? html`<span class="none">0</span>` : html`${formatSize(bytes)}`
}

/** A share as a figure, and as a bar. */
export function share(value: number, whole: number, look = 'data'): [Html, Html] {
  const part = partOf(value, whole)
  return [html`${percent(part)}`, bar(part, look)]
}

export function partOf(value: number, whole: number): number {
  return whole === 0 ? 0 : value / whole
}
