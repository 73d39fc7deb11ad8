/**
 * A report as one page: a file that asks nothing of anybody. It reads without its script, which adds
 * the map, the search and the switch; style and script are allowed by their hashes only, and what a
 * dump or a stream says is text wherever it stands.
 */
import { createHash } from 'node:crypto'
import { dataElement, html, textElement, type Html } from './html.js'
import type { ReportOptions, ReportSection } from './input.js'
import { baseName, nameHtml } from './names.js'
import { PAGE_SCRIPT, PAGE_STYLE } from './page.generated.js'

export interface PageParts {
  /** Behind the name of rrep. */
  readonly brand: string
  /** A path or an address. */
  readonly name: string
  /** Behind its last part, in the title of the window. */
  readonly title: string
  /** Below the heading. */
  readonly head: Html
  readonly cards: Html
  readonly standingOut: Html
  readonly sections: readonly ReportSection[]
  /** What the script works with. */
  readonly data: unknown
  readonly options: Pick<ReportOptions, 'madeBy' | 'version'>
}

export function pageOf(parts: PageParts): string {
  const { sections } = parts
  const links = sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)
  const bodies = sections.map(
    ({ id, title, body }) =>
      html`<section id="${id}" aria-labelledby="${id}-title">
        <h2 id="${id}-title">${title}</h2>
        ${body}
      </section> `,
  )
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${policy()}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="referrer" content="no-referrer" />
        <title>${baseName(parts.name)}: ${parts.title}</title>
        ${textElement('style', PAGE_STYLE)}
      </head>
      <body>
        <a class="skip" href="#main">Skip to the report</a>
        <header class="top">
          <div class="wrap">
            <p class="brand"><b>rrep</b> ${parts.brand}</p>
            <button id="theme" type="button" hidden>Dark</button>
          </div>
        </header>
        <main id="main" class="wrap">
          <div class="title">
            <h1>${nameHtml(baseName(parts.name))}</h1>
            ${parts.head}
          </div>
          ${parts.cards}
          <section id="standing-out" aria-labelledby="standing-out-title">
            <h2 id="standing-out-title">What stands out</h2>
            ${parts.standingOut}
          </section>
          <nav class="contents" aria-label="Contents">
            <ul>
              ${links}
            </ul>
          </nav>
          ${bodies}
        </main>
        <footer><div class="wrap">${madeBy(parts.options)}</div></footer>
        ${dataElement('data', parts.data)} ${textElement('script', PAGE_SCRIPT)}
      </body>
    </html> `
  return page.text
}

function policy(): string {
  const hash = (text: string): string =>
    `'sha256-${createHash('sha256').update(text).digest('base64')}'`
  return `default-src 'none'; script-src ${hash(PAGE_SCRIPT)}; style-src ${hash(PAGE_STYLE)}; base-uri 'none'; form-action 'none'`
}

function madeBy({ madeBy: line, version }: PageParts['options']): Html {
  const name = version === undefined ? 'rrep' : `rrep ${version}`
  return html`<p>
    Made by ${name}${line === undefined ? undefined : html` with <code>${line}</code>`}. One file,
    no request to anywhere.
  </p>`
}
