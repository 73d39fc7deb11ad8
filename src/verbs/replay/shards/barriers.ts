/**
 * How far the other shards were when slots had arrived in one: asked as soon as its stream shows it, and
 * kept on disk, since an answer that comes later says less. See the reference on slots on the move: what
 * the others wrote to what had moved lies in front of it.
 */
import { appendFileSync, readFileSync, rmSync } from 'node:fs'
import { fileError } from '../../../disk/file-error.js'

/** The last byte that counts, by shard. */
export type Needs = Readonly<Record<string, number>>

interface Answer {
  /** Of the shard in which they arrived: true of all that is in front of this byte. */
  readonly through: number
  readonly needs: Needs
}

export class Barriers {
  readonly #path: string
  readonly #ask: () => Promise<Needs>
  readonly #onError: (error: unknown) => void
  #answers: Answer[]
  /** Arrivals in front of it want an answer. */
  #wanted = -1
  #asking: Promise<void> | undefined

  constructor(path: string, ask: () => Promise<Needs>, onError: (error: unknown) => void) {
    this.#path = path
    this.#ask = ask
    this.#onError = onError
    this.#answers = readAnswers(path)
  }

  /** Something has arrived in front of `through`. */
  arrived(through: number): void {
    if (through <= this.#known) return
    this.#wanted = Math.max(this.#wanted, through)
    this.#asking ??= this.#askAll()
      .catch((error: unknown) => this.#onError(error))
      .finally(() => (this.#asking = undefined))
  }

  /** For what arrived at `replOffset`; undefined: not known yet, and asked where nobody has. */
  needsAt(replOffset: number): Needs | undefined {
    const answer = this.#answers.find(({ through }) => through > replOffset)
    if (answer === undefined) this.arrived(replOffset + 1)
    return answer?.needs
  }

  /** Nothing in front of it is wanted any more. */
  release(replOffset: number): void {
    const from = this.#answers.findIndex(({ through }) => through > replOffset)
    if (from > 0) this.#answers = this.#answers.slice(from)
  }

  forget(): void {
    this.#answers = []
    this.#wanted = -1
    this.remove()
  }

  async settle(): Promise<void> {
    await this.#asking
  }

  remove(): void {
    rmSync(this.#path, { force: true })
  }

  get #known(): number {
    return this.#answers.at(-1)?.through ?? -1
  }

  async #askAll(): Promise<void> {
    while (this.#wanted > this.#known) {
      const through = this.#wanted
      const answer = { through, needs: await this.#ask() }
      this.#answers.push(answer)
      try {
        appendFileSync(this.#path, `${JSON.stringify(answer)}\n`)
      } catch (error) {
        throw fileError(this.#path, 'write', error)
      }
    }
  }
}

function readAnswers(path: string): Answer[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return []
  }
  return text.split('\n').flatMap((line) => {
    try {
      const answer = JSON.parse(line) as Answer
      return typeof answer.through === 'number' ? [answer] : []
    } catch {
      // A killed process may have left a part of the last.
      return []
    }
  })
}
