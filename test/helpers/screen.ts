/** What a terminal shows once all of a run's output has come: characters with their colours. */

export interface Cell {
  char: string
  /** SGR codes that are on, such as `1;36`. */
  style: string
}

/** The sequences that our output has; throws RangeError of others. */
export function screenOf(output: string): Cell[][] {
  const rows: Cell[][] = [[]]
  let row = 0
  let column = 0
  let style: string[] = []
  // eslint-disable-next-line no-control-regex -- a terminal is driven by them
  const token = /\x1b\[([?\d;]*)([A-Za-z])|[\s\S]/gu
  for (const [whole, codes = '', kind] of output.matchAll(token)) {
    const count = codes === '' ? 1 : Number(codes)
    if (kind === undefined) {
      if (whole === '\n') row += 1
      if (whole === '\n' || whole === '\r') {
        column = whole === '\r' ? 0 : column
        rows[row] ??= []
        continue
      }
      const line = rows[row]!
      while (line.length < column) line.push({ char: ' ', style: '' })
      line[column] = { char: whole, style: style.join(';') }
      column += 1
    } else if (kind === 'm') {
      style = codes.split(';').reduce(styled, style)
    } else if (kind === 'G') {
      column = count - 1
    } else if (kind === 'K') {
      rows[row]!.length = Math.min(rows[row]!.length, codes === '2' ? 0 : column)
    } else if (kind === 'A') {
      row = Math.max(0, row - count)
    } else if (!codes.startsWith('?')) {
      throw new RangeError(`a terminal sequence that is not known: ${JSON.stringify(whole)}`)
    }
  }
  return rows
}

function styled(on: string[], code: string): string[] {
  const number = Number(code)
  if (number === 0) return []
  if (number === 22) return on.filter((each) => each !== '1' && each !== '2')
  if (number === 39) return on.filter((each) => !/^[39]\d$/.test(each))
  return [...on.filter((each) => !(/^[39]\d$/.test(each) && /^[39]\d$/.test(code))), code]
}
