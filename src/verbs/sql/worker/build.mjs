/** The thread that runs DuckDB. `npm run build:sql`. */
import { writeWorkerText } from '../../worker-text.mjs'

await writeWorkerText({ verb: 'sql', target: 'worker.generated.ts', constant: 'WORKER_TEXT' })
