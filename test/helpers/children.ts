/** A test run that is cut short, or a test that fails half way, must leave no processes behind. */
import type { ChildProcess } from 'node:child_process'

const running = new Set<ChildProcess>()
const killAll = (): void => {
  for (const child of running) child.kill('SIGKILL')
}
process.once('exit', killAll)
// So the workers of a test run are ended.
process.once('SIGTERM', () => {
  killAll()
  process.kill(process.pid, 'SIGTERM')
})

/** The same child, killed at the latest when this process ends. */
export function owned<T extends ChildProcess>(child: T): T {
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}
