/** `rrep inspect --key`: a key whole, as lines or as one line of JSON. */
import { bytesOfPrintable } from '../../../bytes/printable.js'
import type { Source } from '../../../source/classify.js'
import { FileError } from '../../../errors.js'
import { inspectKey } from '../../../verbs/inspect/one-key.js'
import type {
  InspectKeyOptions,
  InspectOptions,
  KeyDetail,
  KeyPlace,
  ReadOutcome,
} from '../../../verbs/inspect/options.js'
import {
  detailObject,
  detailText,
  elementLine,
  KEY_EVENT,
  placeText,
} from '../../render/inspect-key.js'
import { JsonLine } from '../../render/json-line.js'
import type { Talk } from '../../talk.js'

/** `begin` and `end` of each key found; `broken` where the end of one did not come. */
interface KeyView {
  options: Pick<InspectKeyOptions, 'json' | 'onElement'>
  begin: (place: KeyPlace) => void
  end: (detail: KeyDetail) => void
  broken: () => void
}

export async function showKey(
  file: Source,
  name: string,
  base: InspectOptions,
  {
    talk,
    strings = 'text',
    stop,
  }: { talk: Talk; strings?: 'text' | 'base64' | undefined; stop: () => void },
): Promise<ReadOutcome> {
  let found = 0
  const told = { isOpen: false }
  const output = new PendingText((text) => talk.write(text))
  const view = talk.json ? jsonView(output, strings) : textView(output)
  const outcome = await inspectKey(file, {
    ...base,
    ...view.options,
    key: bytesOfPrintable(name),
    onBegin: (place) => {
      // The key before it was damaged: nothing was told of its end.
      if (told.isOpen) view.broken()
      told.isOpen = true
      found += 1
      view.begin(place)
    },
    onFound: (detail) => {
      told.isOpen = false
      view.end(detail)
    },
    drain: () => output.drain(),
  })
  if (told.isOpen) view.broken()
  stop()
  if (found === 0 && outcome.error === undefined) {
    throw new FileError('ERR_NO_SUCH_KEY', `no key of this name in ${outcome.file}`, {
      hint: 'rrep inspect FILE --keys lists them all',
    })
  }
  await output.drain()
  return outcome
}

function textView(output: PendingText): KeyView {
  let found = 0
  let elements = 0
  return {
    options: {
      onElement: (element) => {
        output.push(elementLine(element, elements), '\n')
        elements += 1
      },
    },
    begin: (place) => {
      output.push(found === 0 ? '' : '\n', placeText(place), '\n')
      elements = 0
      found += 1
    },
    end: (detail) => output.push(`\n${detailText(detail)}`),
    broken: () => output.push('\n(the rest of this key is damaged)\n'),
  }
}

/** A key as `export` writes it, and what is known of it behind that. */
function jsonView(output: PendingText, strings: 'text' | 'base64'): KeyView {
  let line: JsonLine
  return {
    options: { json: { strings, write: (bytes) => line.push(bytes) } },
    begin: () => {
      line = new JsonLine((text) => output.push(text), KEY_EVENT)
    },
    end: (detail) => line.end(detailObject(detail)),
    broken: () => line.breakOff({ complete: false }),
  }
}

/** Text that is written between two chunks of the input. */
class PendingText {
  #texts: string[] = []
  readonly #write: (text: string) => Promise<void>

  constructor(write: (text: string) => Promise<void>) {
    this.#write = write
  }

  push(...texts: string[]): void {
    this.#texts.push(...texts)
  }

  drain(): Promise<void> | undefined {
    const text = this.#texts.join('')
    this.#texts = []
    return text === '' ? undefined : this.#write(text)
  }
}
