/**
 * A prefix as the page gets it: what writes the page and the script in it agree on here. Rows are
 * lists, since there may be tens of thousands of them.
 */
export type TreeRow = readonly [
  /** Its row; -1: none. */
  parent: number,
  /** Behind the parent's. */
  name: string,
  keys: number,
  memory: number,
  lastingKeys: number,
  lastingMemory: number,
  soonKeys: number,
  largest: number,
  ownKeys: number,
  ownLargest: number,
  merged: number,
]
