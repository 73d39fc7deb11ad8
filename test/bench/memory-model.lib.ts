/**
 * Fills a real server with keys of all types and encodings, has it save them, and compares what the
 * memory model says of each key of the file with what the server itself says.
 */
import { join } from 'node:path'
import type { ChainableCommander } from 'ioredis'
import { inspect } from '../../src/verbs/inspect/run.js'
import { startServer, type ServerBinary } from '../helpers/servers.js'

export interface GroupErrors {
  /** `type encoding`. */
  name: string
  keys: number
  medianError: number
  /** 95 of 100 keys are off by no more. */
  p95Error: number
  /** Sums of the server's and of our figures. */
  serverBytes: number
  modelBytes: number
}

export interface ModelErrors {
  keys: number
  medianError: number
  groups: GroupErrors[]
  serverBytes: number
  modelBytes: number
  /** Growth of used_memory_dataset, and what the model says of it. */
  datasetBytes: number
  modelDatasetBytes: number
}

const BATCH = 500

/** Relative errors are |model / server - 1|. */
export async function measureModel(binary: ServerBinary, keys: number): Promise<ModelErrors> {
  const server = await startServer({ binary })
  try {
    const { client } = server
    const before = await datasetBytes(() => client.info('memory'))
    const random = randomNumbers(12_345)
    for (let start = 0; start < keys; start += BATCH) {
      const pipeline = client.pipeline()
      for (let index = start; index < Math.min(keys, start + BATCH); index += 1) {
        addKey(pipeline, index, random)
      }
      for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error
    }
    const after = await datasetBytes(() => client.info('memory'))
    await client.call('SAVE')
    const found: { key: string; group: string; memory: number }[] = []
    const result = await inspect(join(server.dir, 'dump.rdb'), {
      onKey: ({ header, type, encoding, memory }) => {
        const key = header.key.bytes.toString('latin1', header.key.start, header.key.end)
        found.push({ key, group: `${type} ${encoding}`, memory })
      },
    })
    if (result.error !== undefined) throw result.error
    const usages: number[] = []
    for (let start = 0; start < found.length; start += BATCH) {
      const pipeline = client.pipeline()
      for (const { key } of found.slice(start, start + BATCH)) {
        pipeline.call('MEMORY', 'USAGE', key, 'SAMPLES', '0')
      }
      for (const [, usage] of (await pipeline.exec()) ?? []) usages.push(Number(usage))
    }
    const groups = new Map<string, { server: number; model: number }[]>()
    const all: { server: number; model: number }[] = []
    for (const [index, { group, memory }] of found.entries()) {
      const pair = { server: usages[index]!, model: memory }
      all.push(pair)
      const pairs = groups.get(group)
      if (pairs === undefined) groups.set(group, [pair])
      else pairs.push(pair)
    }
    return {
      keys: found.length,
      medianError: quantile(all.map(errorOf), 0.5),
      groups: [...groups]
        .map(([name, pairs]) => ({
          name,
          keys: pairs.length,
          medianError: quantile(pairs.map(errorOf), 0.5),
          p95Error: quantile(pairs.map(errorOf), 0.95),
          serverBytes: sum(pairs.map((pair) => pair.server)),
          modelBytes: sum(pairs.map((pair) => pair.model)),
        }))
        .sort((a, b) => b.serverBytes - a.serverBytes),
      serverBytes: sum(usages),
      modelBytes: result.memory,
      datasetBytes: after - before,
      modelDatasetBytes: result.datasetMemory,
    }
  } finally {
    await server.stop()
  }
}

async function datasetBytes(info: () => Promise<string>): Promise<number> {
  return Number(/used_memory_dataset:(\d+)/.exec(await info())?.[1])
}

function errorOf({ server, model }: { server: number; model: number }): number {
  return Math.abs(model / server - 1)
}

function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

/** xorshift, 0…1: the same keys in every run. */
function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_'

/** One key of a random kind: all encodings come, the common ones most often. */
function addKey(pipeline: ChainableCommander, index: number, random: () => number): void {
  const int = (from: number, to: number): number => from + Math.floor(random() * (to - from + 1))
  const text = (length: number): string => {
    let made = ''
    for (let at = 0; at < length; at += 1) made += LETTERS[int(0, 63)]!
    return made
  }
  const many = (count: number, make: (at: number) => string[]): string[] =>
    Array.from({ length: count }, (_, at) => make(at)).flat()
  const key = `${['user', 'session', 'c', 'inventory:items'][int(0, 3)]!}:${index}:${text(int(0, 20))}`
  const kind = int(0, 99)
  // A few elements mostly; every tenth collection is a large one.
  const elements = int(0, 9) === 0 ? int(150, 600) : int(1, 60)
  if (kind < 10) pipeline.set(key, String(int(0, 2_000_000_000) * (int(0, 9) === 0 ? 1e6 : 1)))
  else if (kind < 35) pipeline.set(key, text(int(1, 60)))
  else if (kind < 48) pipeline.set(key, text(int(60, int(0, 50) === 0 ? 20_000 : 900)))
  else if (kind < 62) {
    const long = int(0, 9) === 0 ? 90 : 30
    pipeline.hset(
      key,
      ...many(elements, (at) => [`field${at}${text(int(0, 8))}`, text(int(1, long))]),
    )
  } else if (kind < 72) {
    pipeline.zadd(
      key,
      ...many(elements, (at) => [String(random() * 1000), `m${at}${text(int(0, 20))}`]),
    )
  } else if (kind < 80)
    pipeline.sadd(key, ...many(elements, (at) => [String(at * int(1, 100_000))]))
  else if (kind < 88) pipeline.sadd(key, ...many(elements, (at) => [`m${at}${text(int(2, 30))}`]))
  else if (kind < 97) pipeline.rpush(key, ...many(elements, () => [text(int(1, 80))]))
  else {
    for (let at = 0; at < Math.min(elements, 120); at += 1) {
      pipeline.xadd(
        key,
        `${1_700_000_000_000 + at * 13}-${at}`,
        'sensor',
        text(6),
        'value',
        text(4),
      )
    }
    if (int(0, 2) === 0) {
      pipeline.xgroup('CREATE', key, 'group', '0')
      const count = String(int(1, 20))
      pipeline.xreadgroup('GROUP', 'group', 'worker-1', 'COUNT', count, 'STREAMS', key, '>')
    }
  }
  if (int(0, 3) === 0) pipeline.pexpire(key, int(1, 100) * 1_000_000)
}
