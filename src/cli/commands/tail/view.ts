/** How `rrep tail` shows commands: where they go, in which form, and which of them. */
import type { CommandFormat, TailViewOptions } from '../../../verbs/tail/watch.js'
import { readFilterOptions } from '../../filter-options.js'
import type { Io } from '../../io.js'
import type { TailStatsView } from '../../render/tail-stats.js'
import type { Talk } from '../../talk.js'
import type { TailCommandOptions } from './options.js'
import type { TrafficPage } from './page.js'

/** What is shown, and where. */
export function viewOptions(
  options: TailCommandOptions,
  io: Io,
  talk: Talk,
  view: TailStatsView | undefined,
  page?: TrafficPage,
): TailViewOptions {
  // Written in the background where it is the process's own: Node would block on a slow pipe.
  const fd = (io.stdout as { fd?: unknown }).fd
  const format: CommandFormat = options.resp === true ? 'resp' : talk.json ? 'json' : 'text'
  return {
    commands: options.command,
    filter: readFilterOptions(options),
    count: options.count,
    ...(view === undefined
      ? {
          output: {
            to: typeof fd === 'number' && !io.stdoutIsTty ? fd : talk.stdout(talk.json),
            format,
            strings: options.strings === 'base64' ? 'base64' : 'text',
          },
        }
      : { stats: { tables: options.by, onStats: (stats) => view.show(stats) } }),
    traffic: page?.traffic,
  }
}
