/** The thread that reads pieces of dumps. `npm run build:threads`, behind the kernels, which are in it. */
import { writeWorkerText } from '../../worker-text.mjs'

await writeWorkerText({
  verb: 'threads',
  target: 'pieces-worker.generated.ts',
  constant: 'PIECES_WORKER_TEXT',
  // No thread writes it.
  external: ['./parquet-library.js'],
})
