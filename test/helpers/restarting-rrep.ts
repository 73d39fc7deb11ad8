/** rrep as a process that is killed and started again with the same words. */
import assert from 'node:assert/strict'
import { spawnRrep, type RrepProcess } from './rrep-process.js'
import { waitFor } from './servers.js'

export class RestartingRrep {
  kills = 0
  readonly #args: readonly string[]
  #process: RrepProcess | undefined

  constructor(...args: readonly string[]) {
    this.#args = args
  }

  start(): void {
    this.#process = spawnRrep(this.#args, { stdout: 'keep' })
  }

  get ended(): RrepProcess['ended'] {
    return this.#process!.ended
  }

  /** What it has said since it was started. */
  get said(): string {
    return this.#process!.err() + this.#process!.out()
  }

  get hasEnded(): boolean {
    const { child } = this.#process!
    return child.exitCode !== null || child.signalCode !== null
  }

  get pid(): number {
    return this.#process!.child.pid!
  }

  /** Since it was started. Rejects where it ends before. */
  async says(text: string, timeoutMs = 60_000): Promise<void> {
    const { child } = this.#process!
    await waitFor(() => this.said.includes(text) || child.exitCode !== null, {
      what: `'${text}'`,
      timeoutMs,
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}; it said: ${this.said.slice(-2000)}`)
    })
    assert.equal(child.exitCode, null, this.said)
  }

  /** Resolves when it is gone. */
  async killNow(): Promise<void> {
    assert.equal(this.#process!.child.exitCode, null, this.said)
    this.kill()
    await this.ended
    this.kills += 1
  }

  async killAndStart(): Promise<void> {
    await this.killNow()
    this.start()
  }

  kill(): void {
    this.#process?.child.kill('SIGKILL')
  }
}
