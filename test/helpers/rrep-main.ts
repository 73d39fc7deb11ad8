/** The command line as a process of its own, from the sources: see rrep-command.ts and bin/rrep.js. */
import { run } from '../../src/cli/run.js'

const code = await run()
process.exitCode = code
// eslint-disable-next-line no-restricted-properties -- as bin/rrep.js does
if (code > 128) process.exit()
