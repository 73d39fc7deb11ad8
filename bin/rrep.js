#!/usr/bin/env node
import { run } from '../dist/bin/run.js'

process.exitCode = await run()
