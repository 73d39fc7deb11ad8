#!/usr/bin/env node
import { run } from '../dist/bin/run.js'

const code = await run()
process.exitCode = code
// Interrupted: what a reader that has stopped reading did not take must not hold the process.
if (code > 128) process.exit()
