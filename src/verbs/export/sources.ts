/** Several sources of an export, opened as one: their dumps behind one another. */
import { UsageError } from '../../errors.js'
import { nameOfSource, type Source } from '../../source/classify.js'
import { joinDumps } from '../../source/shards.js'
import { openInput, type ByteInput } from '../../source/source.js'
import { openKeys, type OpenKeys, type OpenKeysOptions } from '../keys/open.js'

/** In the order in which they are read: of two keys of one name the first counts. */
export async function openSources(
  sources: readonly Source[],
  options: OpenKeysOptions,
): Promise<OpenKeys> {
  const [only] = sources
  if (only === undefined) throw new UsageError('an export needs a source')
  if (sources.length === 1) return await openKeys(only, options)
  if (options.isReadTwice === true) {
    throw new UsageError('several sources cannot be salvaged together', {
      hint: 'salvage the damaged one into a dump first, then merge',
    })
  }
  const opened: OpenKeys[] = []
  const close = (): void => {
    for (const each of opened) each.close()
  }
  try {
    for (const source of sources) {
      const name = nameOfSource(source)
      if (source.kind === 'stdin') throw mergeOf(name, 'it can be read once only')
      const keys = await openKeys(source, options)
      opened.push(keys)
      if (keys.timeShiftMs !== 0) throw mergeOf(name, 'its commands were applied in a server')
    }
    const name = opened.map((each) => each.name).join(', ')
    const paths = opened.map(({ rdb }) => ({ path: rdb.input.name }))
    const { identity, signal } = options
    const open = async (path: string): Promise<ByteInput> =>
      await openInput(path, { identity, signal })
    const input = await joinDumps(name, paths, open)
    const rdb = { input, name, increments: [], close: () => input.close() }
    return {
      rdb,
      name,
      timeShiftMs: 0,
      commandsLeftOut: opened.reduce((sum, each) => sum + each.commandsLeftOut, 0),
      built: undefined,
      again: async () => await Promise.reject(new UsageError('a merge is read once')),
      close: () => {
        input.close()
        close()
      },
    }
  } catch (error) {
    close()
    throw error
  }
}

function mergeOf(name: string, why: string): UsageError {
  return new UsageError(`${name} cannot be merged with others: ${why}`, {
    hint: 'export it into a dump first, then merge that',
  })
}
