/** What the bundle in dist/bin gives to bin/rrep.js, and to its own build. */
export { main } from './main.js'
export { run } from './run.js'
