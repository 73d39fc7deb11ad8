/** `node --import tsx test/helpers/rrep-entry.ts …` is rrep as a process of its own, unbuilt. */
import { run } from '../../src/cli/run.js'

process.exitCode = await run()
