/** Where the stream can be begun again, and which database was selected there. */

export interface Place {
  readonly replOffset: number
  readonly db: number
  /** What else belongs to it: where each of several streams is. */
  readonly shards: ReadonlyMap<string, string> | undefined
  readonly atMs: number
}

export class PlaceHistory {
  readonly #places: Place[] = []

  add(place: Place): void {
    const last = this.#places.at(-1)
    if (last !== undefined && place.replOffset <= last.replOffset) return
    this.#places.push(place)
  }

  /** The last one that is so old. */
  before(atMs: number): Place | undefined {
    return this.#places.findLast((each) => each.atMs <= atMs)
  }

  /** The last one up to there. */
  upTo(replOffset: number): Place | undefined {
    return this.#places.findLast((each) => each.replOffset <= replOffset)
  }

  /** What lies in front of it is not asked for any more. */
  forget(replOffset: number): void {
    const kept = this.#places.findIndex((each) => each.replOffset >= replOffset)
    if (kept > 0) this.#places.splice(0, kept)
  }

  /** What lies behind it did not happen. */
  cut(replOffset: number): void {
    while ((this.#places.at(-1)?.replOffset ?? -1) > replOffset) this.#places.pop()
  }
}
