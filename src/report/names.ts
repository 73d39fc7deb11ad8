/** Bytes of a dump as text of the page: never a control or a format character, never too long. */
import { printableText } from '../bytes/key-text.js'
import { html, type Html } from './html.js'

const MAX_CHARS = 160

export function nameText(bytes: Uint8Array | string): string {
  return bytes.length === 0 ? '(empty)' : printableText(bytes, MAX_CHARS)
}

/** Text that runs from right to left turns nothing around it. */
export function nameHtml(bytes: Uint8Array | string): Html {
  return html`<bdi class="name">${nameText(bytes)}</bdi>`
}

/** The last part of a path. */
export function baseName(file: string): string {
  return file.split('/').findLast((part) => part !== '') ?? file
}
