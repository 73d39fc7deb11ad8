/** `npm run soak [-- NAME…]`: all long fault and fuzz runs, or those named. */
import { runNamed } from '../helpers/named-runs.js'

process.exitCode = await runNamed(import.meta.dirname, process.argv.slice(2))
