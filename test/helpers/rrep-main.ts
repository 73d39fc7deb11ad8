/** The command line as a process of its own, from the sources: see rrep-process.ts. */
import { run } from '../../src/cli/run.js'

process.exitCode = await run()
