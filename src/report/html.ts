/**
 * HTML that cannot be forgotten to be escaped: what a template is filled with is text, unless a
 * template made it. Keys are hostile, so all bytes of a dump come through `printable` and then here.
 */

/** Made by `html` only. */
export class Html {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

type Filling = Html | string | number | undefined | readonly (Html | undefined)[]

/** undefined is nothing; lists are joined. */
export function html(parts: TemplateStringsArray, ...fillings: readonly Filling[]): Html {
  let text = compact(parts[0]!)
  for (const [at, filling] of fillings.entries()) {
    text += textOf(filling) + compact(parts[at + 1]!)
  }
  return new Html(text)
}

/** A whole element of our own text: a style or a script, to the last blank what its hash is of. */
export function textElement(name: 'script' | 'style', text: string): Html {
  return new Html(`<${name}>${text}</${name}>`)
}

/** JSON for a script element: nothing in it can end the element. */
export function dataText(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

export function dataElement(id: string, value: unknown): Html {
  return new Html(`<script type="application/json" id="${id}">${dataText(value)}</script>`)
}

/** Indents of a template are for its reader here. */
function compact(part: string): string {
  return part.replace(/\s*\n\s*/g, '\n')
}

function textOf(filling: Filling): string {
  if (filling === undefined) return ''
  if (filling instanceof Html) return filling.text
  if (typeof filling === 'string' || typeof filling === 'number') return escapeHtml(String(filling))
  return filling.map((each) => each?.text ?? '').join('')
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
}
