/**
 * Commands one by one, for a program that wants to look at them at its own pace: of a server as they
 * happen, of an AOF or an archive as they were kept.
 *
 *   for await (const { time, db, args } of tail('redis://127.0.0.1:6379')) {
 *     console.log(time, db, args.map(String))
 *   }
 *
 * A reader who is slow slows the reading down, and behind that the line: a master drops a replica that
 * takes too little for too long (client-output-buffer-limit). Whoever only counts or copies takes
 * `watch` and its callback, which allocates nothing.
 */
import { Buffer } from 'node:buffer'
import type { CommandPlace } from '../../formats/command-format.js'
import type { CommandDecoder } from '../../resp/decoder.js'
import { pathOf, readSource, refuseCluster, type SourceName } from '../../source/classify.js'
import type { RecordedTailOptions, TailOptions } from './options.js'
import { tailRecorded } from './recorded.js'
import { watch } from './watch.js'

/** So many bytes of commands wait for a slow reader before the reading stops. */
const BOUND_BYTES = 8 << 20
/** What a command takes besides its bytes. */
const COMMAND_BYTES = 200

export interface TailedCommand {
  /** Name first. Copies. */
  readonly args: readonly Buffer[]
  /** -1: not known yet, since no SELECT has come since the begin. */
  readonly db: number
  /** When it was received (a server), or is stamped (an archive); undefined where nothing is. */
  readonly time: Date | undefined
  /** Of its last byte: in the replication stream, or where a file has none, in the file. */
  readonly offset: number
  /** Set where the command was too large to be held: its bytes, and `args` has only its name. */
  readonly tooLargeBytes?: number
}

export type TailCommandsOptions = Omit<
  TailOptions & RecordedTailOptions,
  'output' | 'onCommand' | 'onTooLarge' | 'drain' | 'stats' | 'onEvent'
> & {
  /** Asked before a command is copied: false leaves it out. */
  takes?: ((command: CommandDecoder, place: Readonly<CommandPlace>) => boolean) | undefined
  onEvent?: TailOptions['onEvent'] & RecordedTailOptions['onEvent']
}

/**
 * Ends where the source does (a server: never), behind `count` commands, after `durationMs`, or when
 * the loop over it is left. Throws what `watch` and `tailRecorded` reject with.
 */
export async function* tailCommands(
  name: SourceName,
  options: TailCommandsOptions = {},
): AsyncGenerator<TailedCommand, void, undefined> {
  const source = refuseCluster(await readSource(name))
  const halt = new AbortController()
  const { signal } = options
  const onAbort = (): void => halt.abort()
  signal?.addEventListener('abort', onAbort, { once: true })
  if (signal?.aborted === true) halt.abort()
  let queue: TailedCommand[] = []
  let bytes = 0
  const waiting: { reader?: () => void; line?: () => void } = {}
  const add = (command: TailedCommand, size: number): void => {
    queue.push(command)
    bytes += size + COMMAND_BYTES
    waiting.reader?.()
  }
  const call = {
    ...options,
    signal: halt.signal,
    onCommand: ((command, place) => {
      if (options.takes?.(command, place) === false) return
      const { dbnum, replOffset, unixMs } = place
      const args: Buffer[] = []
      for (let i = 0; i < command.argc; i += 1) args.push(Buffer.from(command.arg(i)))
      const time = unixMs > 0 ? new Date(unixMs) : undefined
      add({ args, db: dbnum, time, offset: replOffset }, command.end - command.start)
    }) satisfies TailOptions['onCommand'],
    onTooLarge: ((command, tooLargeBytes, { dbnum, replOffset, unixMs }) => {
      const args = [Buffer.from(command)]
      const time = unixMs > 0 ? new Date(unixMs) : undefined
      add({ args, db: dbnum, time, offset: replOffset, tooLargeBytes }, 0)
    }) satisfies TailOptions['onTooLarge'],
    drain: () =>
      bytes < BOUND_BYTES || halt.signal.aborted
        ? undefined
        : new Promise<void>((resolve) => (waiting.line = resolve)),
  }
  const end: { isReached: boolean; failure?: unknown } = { isReached: false }
  const running = (
    source.kind === 'server' ? watch(source.server, call) : tailRecorded(pathOf(source), call)
  )
    .catch((error: unknown) => {
      end.failure = error
    })
    .finally(() => {
      end.isReached = true
      waiting.reader?.()
    })
  try {
    for (;;) {
      const taken = queue
      queue = []
      bytes = 0
      waiting.line?.()
      for (const command of taken) yield command
      if (queue.length > 0) continue
      if (end.isReached) break
      await new Promise<void>((resolve) => (waiting.reader = resolve))
    }
    if (end.failure !== undefined) throw end.failure as Error
  } finally {
    halt.abort()
    waiting.line?.()
    signal?.removeEventListener('abort', onAbort)
    await running
  }
}
