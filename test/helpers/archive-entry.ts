/** The command line from its sources, for tests that need a process. */
import { run } from '../../src/cli/run.js'

process.exitCode = await run()
