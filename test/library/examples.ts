/* eslint-disable no-console -- that is what a reader wants to see */
/** The examples of src/README.md: compiled with everything else, and run by examples.test.ts. What
 * stands between the marks is what the page shows. */
import {
  archive,
  diff,
  exportKeys,
  inspect,
  InputError,
  openArchive,
  readRdb,
  replay,
  RrepError,
  serve,
  sync,
  tail,
} from '../../src/index.js'

export async function snapshot(address: string, file: string): Promise<number> {
  // example: A snapshot into a file, which appears only when it is whole and checked
  const { bytes, replOffset, checksum } = await sync(address, { output: file })
  console.log(`${bytes} bytes of offset ${replOffset ?? '?'}, checksum ${checksum}`)
  // end
  return bytes
}

export async function read(file: string): Promise<number> {
  let bytes = 0
  // example: Keys of a dump, one by one
  for await (const key of readRdb(file)) {
    bytes += key.serializedBytes
    if (key.type === 'hash') for (const { field } of key.value ?? []) console.log(String(field))
  }
  // end
  return bytes
}

export async function look(file: string): Promise<number> {
  // example: Where the memory goes
  const { keys, memory, types, top } = await inspect(file, { top: 3 })
  console.log(`${keys} keys, ${memory} bytes`)
  for (const [type, row] of types) console.log(type, row.keys, row.memory)
  for (const { key, memory: bytes } of top) console.log(key.toString(), bytes)
  // end
  return keys
}

export async function follow(address: string, count: number): Promise<string[]> {
  const seen: string[] = []
  // example: The write commands of a live server
  for await (const { time, db, args } of tail(address, { count })) {
    console.log(time?.toISOString(), db, args.map(String).join(' '))
    seen.push(String(args[0]))
  }
  // end
  return seen
}

export async function keep(address: string, dir: string): Promise<number> {
  // example: Snapshot and stream in a directory that redis-server loads, and any moment of it
  const stop = new AbortController()
  const { signal } = stop
  const keeping = archive(address, {
    dir,
    fsync: 'everysec',
    signal,
    onEvent: (event) => {
      if (event.event === 'link-lost') console.log(event.message)
    },
    onProgress: ({ commands }) => {
      if (commands >= 10) stop.abort()
    },
  })
  // An aborted call rejects with the signal's own reason, when everything is on disk.
  await keeping.catch((error: unknown) => {
    if (error !== signal.reason) throw error
  })
  const { windows } = openArchive(dir)
  for (const { fromReplOffset, toReplOffset } of windows) {
    console.log(`offsets ${fromReplOffset ?? '?'} to ${toReplOffset ?? 'now'}`)
  }
  // end
  return windows.length
}

export async function migrate(source: string, target: string): Promise<boolean> {
  // example: Into another server, and the proof
  const { complete, ledger } = await replay(source, target, {
    onConflict: 'replace',
    untilQuiet: true,
    onProgress: ({ phase, done, total }) => console.log(phase, done, total),
  })
  const { same } = await diff(source, target, { ttlToleranceMs: 2000 })
  console.log(
    `${ledger.keys.written} keys written: ${complete && same ? 'the same' : 'not the same'}`,
  )
  // end
  return complete && same
}

export async function asLines(file: string, output: string): Promise<number> {
  // example: Another form
  const { keysWritten } = await exportKeys(file, { output, format: 'jsonl', filter: { dbs: [0] } })
  // end
  return keysWritten
}

export async function beMaster(
  file: string,
  onPort: (port: number) => Promise<void>,
): Promise<void> {
  // example: A master, made of a file
  const stop = new AbortController()
  await serve(file, {
    listen: { host: '127.0.0.1', port: 0 },
    signal: stop.signal,
    onReady: ({ port }) => void onPort(port).finally(() => stop.abort()),
  })
  // end
}

export async function meetDamage(file: string): Promise<string> {
  let said = ''
  // example: Errors: what happened, where, and what was read before
  try {
    await inspect(file)
  } catch (error) {
    if (!(error instanceof RrepError)) throw error
    said = `${error.code}: ${error.message}`
    if (error instanceof InputError) console.log(error.where.byteOffset, error.partial)
    console.log(said, error.hint)
  }
  // end
  return said
}
