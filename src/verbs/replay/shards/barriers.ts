/**
 * How far the other shards were when slots had arrived in one: asked as soon as its stream shows it, and
 * kept on disk, since an answer that comes later says less. See the reference on slots on the move: what
 * the others wrote to what had moved lies in front of it.
 */
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileError } from '../../../disk/file-error.js'

/** So many answers that nothing wants any more may lie in the file. */
const KEPT_ANSWERS = 1000

/** The last byte that counts, by shard. */
export type Needs = Readonly<Record<string, number>>

/** From the byte behind it on these slots are one shard's alone. */
export interface Mark {
  readonly replOffset: number
  readonly owner: string
  readonly slots: readonly number[]
}

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
  /** In their order. */
  marks: Mark[]
  /** Arrivals in front of it want an answer. */
  #wanted = -1
  /** In front of which the question under way was asked. */
  #askedThrough = -1
  #asking: Promise<void> | undefined
  #released = 0

  constructor(path: string, ask: () => Promise<Needs>, onError: (error: unknown) => void) {
    this.#path = path
    this.#ask = ask
    this.#onError = onError
    const { answers, marks } = readNotes(path)
    this.#answers = answers
    this.marks = marks
  }

  noteMark(mark: Mark): void {
    this.marks.push(mark)
    this.#note(mark)
  }

  /** Something has arrived in front of `through`. */
  arrived(through: number): void {
    if (through <= this.known) return
    this.#wanted = Math.max(this.#wanted, through)
    this.#asking ??= this.#askAll()
      .catch((error: unknown) => this.#onError(error))
      .finally(() => (this.#asking = undefined))
  }

  /** For what arrived at `replOffset`; undefined: not known yet, and asked where nobody has. */
  needsAt(replOffset: number): Needs | undefined {
    const answer = this.#answerAt(replOffset)
    if (answer === undefined) this.arrived(replOffset + 1)
    return answer?.needs
  }

  /** What arrived at two places waits for the same answer where this is the same. */
  groupAt(replOffset: number): number {
    const answer = this.#answerAt(replOffset)
    if (answer !== undefined) return answer.through
    const isAsked = this.#asking !== undefined && replOffset < this.#askedThrough
    return isAsked ? this.#askedThrough : Infinity
  }

  /** Nothing in front of it is wanted any more. */
  release(replOffset: number): void {
    const from = this.#answers.findIndex(({ through }) => through > replOffset)
    const gone = from < 0 ? this.#answers.length - 1 : from
    if (gone <= 0) return
    this.#answers = this.#answers.slice(gone)
    this.#released += gone
    if (this.#released < KEPT_ANSWERS) return
    this.#released = 0
    this.marks = this.marks.filter((mark) => mark.replOffset >= replOffset)
    this.#noteAll()
  }

  /** What came from there on never happened for anybody else. */
  cutBack(fromReplOffset: number): void {
    this.#answers = this.#answers.filter(({ through }) => through <= fromReplOffset)
    this.#wanted = Math.min(this.#wanted, fromReplOffset)
    this.marks = this.marks.filter(({ replOffset }) => replOffset < fromReplOffset)
    this.#noteAll()
  }

  /** What the shard wrote behind it never happened: nothing waits for that. */
  clamp(shardId: string, replOffset: number): void {
    const clamped = this.#answers.map(({ through, needs }) => ({
      through,
      needs: clampedTo(needs, shardId, replOffset),
    }))
    this.#answers = clamped
    this.#noteAll()
  }

  forget(): void {
    this.#answers = []
    this.marks = []
    this.#wanted = -1
    this.remove()
  }

  async settle(): Promise<void> {
    await this.#asking
  }

  remove(): void {
    rmSync(this.#path, { force: true })
  }

  /** All that arrived in front of it has an answer. */
  get known(): number {
    return this.#answers.at(-1)?.through ?? -1
  }

  #answerAt(replOffset: number): Answer | undefined {
    if (replOffset >= this.known) return undefined
    return this.#answers.find(({ through }) => through > replOffset)
  }

  async #askAll(): Promise<void> {
    while (this.#wanted > this.known) {
      this.#askedThrough = this.#wanted
      const answer = { through: this.#wanted, needs: await this.#ask() }
      // It began anew meanwhile.
      if (answer.through > this.#wanted) continue
      this.#answers.push(answer)
      this.#note(answer)
    }
  }

  #note(note: Answer | Mark): void {
    this.#write(() => appendFileSync(this.#path, lineOf(note)))
  }

  #noteAll(): void {
    const lines = [...this.#answers, ...this.marks].map(lineOf)
    this.#write(() => writeFileSync(this.#path, lines.join('')))
  }

  #write(work: () => void): void {
    try {
      work()
    } catch (error) {
      throw fileError(this.#path, 'write', error)
    }
  }
}

/** The answer, with no more of the shard than that. */
export function clampedTo(needs: Needs, shardId: string, replOffset: number): Needs {
  const needed = needs[shardId]
  if (needed === undefined || needed <= replOffset) return needs
  return { ...needs, [shardId]: replOffset }
}

function lineOf(note: Answer | Mark): string {
  return `${JSON.stringify(note)}\n`
}

function readNotes(path: string): { answers: Answer[]; marks: Mark[] } {
  const answers: Answer[] = []
  const marks: Mark[] = []
  let text = ''
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    // There is none.
  }
  for (const line of text.split('\n')) {
    try {
      const note = JSON.parse(line) as Partial<Answer & Mark>
      if (typeof note.through === 'number') answers.push(note as Answer)
      else if (typeof note.replOffset === 'number') marks.push(note as Mark)
    } catch {
      // A killed process may have left a part of the last.
    }
  }
  return { answers, marks }
}
