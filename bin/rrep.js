#!/usr/bin/env node
const { run } = require('../dist/bin/start.cjs')

// Until it says otherwise: nobody may take a run that just stopped for one that was done.
process.exitCode = 1
run().then((code) => {
  process.exitCode = code
  // Interrupted: what a reader that has stopped reading did not take must not hold the process.
  if (code > 128) process.exit()
})
