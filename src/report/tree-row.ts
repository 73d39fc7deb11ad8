/** A prefix as the page gets it: known to both who writes the page and the script in it. */

/** Parent's row (-1: none), name, keys, memory, keys and memory without an expiry, keys that
 * expire within a day, largest key, own keys, own memory, merged names. */
export type TreeRow = readonly [
  number,
  string,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
]
