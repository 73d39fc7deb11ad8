/** Bars and columns as SVG: sizes are attributes, since the page allows no style of an element. */
import { html, type Html } from './html.js'

/** A share of 0…1 as a bar; what it says stands beside it. */
export function bar(share: number, look = 'data'): Html {
  return html`<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
    <rect class="track" width="100" height="6" />
    <rect class="${look}" width="${widthOf(share)}" height="6" />
  </svg>`
}

export interface Part {
  readonly share: number
  readonly look: string
}

/** Parts of a whole in one bar. */
export function stackedBar(parts: readonly Part[]): Html {
  let from = 0
  const rects = parts.map(({ share, look }) => {
    const rect = html`<rect
      class="${look}"
      x="${round(from)}"
      width="${widthOf(share)}"
      height="10"
    />`
    from += share * 100
    return rect
  })
  return html`<svg class="stack" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
    <rect class="track" width="100" height="10" />
    ${rects}
  </svg>`
}

export interface ChartColumn {
  readonly label: string
  /** Height. */
  readonly value: number
  /** Said when pointed at. */
  readonly title: string
}

const COLUMN_WIDTH = 10
const COLUMN_HEIGHT = 60

/** Columns side by side; `name` says what they are to who does not see them. */
export function columnChart(name: string, columns: readonly ChartColumn[], look = 'data'): Html {
  const most = Math.max(...columns.map(({ value }) => value), 1)
  const rects = columns.map(({ value, title }, at) => {
    const height = value === 0 ? 0 : Math.max(1, (value / most) * COLUMN_HEIGHT)
    return html`<g
      ><title>${title}</title
      ><rect
        class="ghost"
        x="${at * COLUMN_WIDTH}"
        width="${COLUMN_WIDTH}"
        height="${COLUMN_HEIGHT}" /><rect
        class="${look}"
        x="${at * COLUMN_WIDTH + 1}"
        y="${round(COLUMN_HEIGHT - height)}"
        width="${COLUMN_WIDTH - 2}"
        height="${round(height)}"
    /></g>`
  })
  const width = columns.length * COLUMN_WIDTH
  return html`<svg
    class="columns"
    viewBox="0 0 ${width} ${COLUMN_HEIGHT}"
    preserveAspectRatio="none"
    role="img"
    aria-label="${name}"
  >
    ${rects}
  </svg>`
}

function widthOf(share: number): number {
  return share <= 0 ? 0 : Math.min(100, Math.max(0.4, round(share * 100)))
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
