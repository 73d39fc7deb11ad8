/** `npm run bench [-- NAME…]`: all benchmarks, or those named. */
import { runNamed } from '../helpers/named-runs.js'

process.exitCode = await runNamed(import.meta.dirname, process.argv.slice(2))
