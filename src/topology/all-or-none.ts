/**
 * The same for each of many nodes at once. One that fails ends the others, since none of them is of use
 * without it. Resolves, or rejects with the first failure, when every one has come to its end.
 */
export async function allOrNone<Item, Result>(
  items: readonly Item[],
  signal: AbortSignal | undefined,
  run: (item: Item, signal: AbortSignal, index: number) => Promise<Result>,
): Promise<Result[]> {
  const halt = new AbortController()
  const onAbort = (): void => halt.abort(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  if (signal?.aborted === true) onAbort()
  const failures: unknown[] = []
  try {
    const results = await Promise.all(
      items.map(async (item, index) => {
        try {
          return [await run(item, halt.signal, index)] as const
        } catch (error) {
          failures.push(error)
          halt.abort(error)
          return []
        }
      }),
    )
    if (failures.length > 0) throw failures[0]
    return results.map(([result]) => result)
  } finally {
    signal?.removeEventListener('abort', onAbort)
  }
}
