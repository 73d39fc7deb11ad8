/**
 * The state of a live server in the shape of the fixtures' expected.jsonl, asked for key by key
 * with the server's own commands; and the comparison of the two.
 */
import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'

export interface StateRow {
  db: number
  key: string
  type: string
  expireAt: number | null
  value: unknown
}

type Reply = Buffer | number | null | readonly Reply[]

export function expectedRows(path: string): StateRow[] {
  const lines = readFileSync(path, 'utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as StateRow)
}

/** Rows of the databases named, ordered as the fixtures are: by db, then by the key's bytes. */
export async function serverRows(port: number, dbs: readonly number[]): Promise<StateRow[]> {
  // RESP2: pairs come as flat arrays from every version.
  const client = new Redis({ port, host: '127.0.0.1', protocol: 2 })
  const rows: StateRow[] = []
  try {
    for (const db of dbs) {
      await client.select(db)
      const keys = (await client.keysBuffer('*')).sort((left, right) => Buffer.compare(left, right))
      for (const key of keys) rows.push(await rowOf(client, db, key))
    }
  } finally {
    client.disconnect()
  }
  return rows
}

/** What can be compared: scores as doubles, and of streams what the older file knew of. */
export function comparable(row: StateRow, like: StateRow): StateRow {
  const { db, key, type, expireAt } = row
  return { db, key, type, expireAt, value: comparableValue(type, row.value, like.value) }
}

function comparableValue(type: string, value: unknown, like: unknown): unknown {
  if (type === 'zset') {
    return (value as [string, string][]).map(([member, score]) => [member, scoreOf(score)])
  }
  if (type !== 'stream') return value
  return onlyKeysOf(value, like)
}

function onlyKeysOf(value: unknown, like: unknown): unknown {
  if (Array.isArray(value) && Array.isArray(like)) {
    return value.map((item: unknown, index) => onlyKeysOf(item, like[index] as unknown))
  }
  if (typeof value !== 'object' || value === null || typeof like !== 'object' || like === null) {
    return value
  }
  const known = Object.keys(like)
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => known.includes(name))
      .map(([name, item]) => [name, onlyKeysOf(item, (like as Record<string, unknown>)[name])]),
  )
}

function scoreOf(text: string): number {
  return text === 'inf' ? Infinity : text === '-inf' ? -Infinity : Number(text)
}

async function rowOf(client: Redis, db: number, key: Buffer): Promise<StateRow> {
  const type = await client.type(key)
  const expireAt = Number(await client.call('PEXPIRETIME', key))
  return {
    db,
    key: key.toString('base64'),
    type,
    expireAt: expireAt < 0 ? null : expireAt,
    value: await valueOf(client, key, type),
  }
}

async function valueOf(client: Redis, key: Buffer, type: string): Promise<unknown> {
  switch (type) {
    case 'string':
      return b64(await call(client, 'GET', key))
    case 'list':
      return list(await call(client, 'LRANGE', key, '0', '-1')).map(b64)
    case 'set':
      return sorted(await call(client, 'SMEMBERS', key)).map(b64)
    case 'zset':
      return pairs(await call(client, 'ZRANGE', key, '0', '-1', 'WITHSCORES')).map(
        ([member, score]) => [b64(member), text(score)],
      )
    case 'hash':
      return await hashOf(client, key)
    case 'stream':
      return await streamOf(client, key)
    default:
      return null
  }
}

/** Fields in order; those with a time of their own (where servers know that) with it. */
async function hashOf(client: Redis, key: Buffer): Promise<unknown> {
  const fields = pairs(await call(client, 'HGETALL', key)).sort(([left], [right]) =>
    Buffer.compare(left as Buffer, right as Buffer),
  )
  const names = fields.map(([field]) => field as Buffer)
  const asked = ['HPEXPIRETIME', key, 'FIELDS', String(names.length), ...names]
  const times = names.length === 0 ? [] : list(await call(client, ...asked).catch(() => null))
  return fields.map(([field, value], index) => {
    const time = Number(times[index] ?? -1)
    return [b64(field), b64(value), ...(time < 0 ? [] : [time])]
  })
}

async function streamOf(client: Redis, key: Buffer): Promise<unknown> {
  const entries = list(await call(client, 'XRANGE', key, '-', '+')).map((entry) => {
    const [id, fields] = list(entry)
    return [text(id), pairs(fields).map(([field, value]) => [b64(field), b64(value)])]
  })
  const info = named(await call(client, 'XINFO', 'STREAM', key, 'FULL', 'COUNT', '0'))
  const groups = list(info.get('groups')).map((each) => {
    const group = named(each)
    const consumers = list(group.get('consumers')).map((consumer) => named(consumer))
    return {
      name: b64(group.get('name')),
      lastDeliveredId: text(group.get('last-delivered-id')),
      entriesRead: group.get('entries-read') ?? null,
      pending: list(group.get('pel') ?? group.get('pending')).map((item) => {
        const [id, consumer, , count] = list(item)
        return [text(id), b64(consumer), count]
      }),
      consumers: consumers.map((consumer) => b64(consumer.get('name'))),
    }
  })
  return {
    entries,
    lastId: text(info.get('last-generated-id')),
    maxDeletedId: text(info.get('max-deleted-entry-id')),
    entriesAdded: info.get('entries-added'),
    groups,
  }
}

async function call(client: Redis, ...words: (string | Buffer)[]): Promise<Reply> {
  const [name, ...rest] = words
  return (await client.callBuffer(String(name), ...rest)) as Reply
}

function list(reply: Reply | undefined): readonly Reply[] {
  return Array.isArray(reply) ? (reply as readonly Reply[]) : []
}

function pairs(reply: Reply | undefined): [Reply, Reply][] {
  const items = list(reply)
  return items.flatMap((item, index) =>
    index % 2 === 0 ? [[item, items[index + 1]!] as [Reply, Reply]] : [],
  )
}

function named(reply: Reply): Map<string, Reply> {
  return new Map(pairs(reply).map(([name, value]) => [text(name), value]))
}

function sorted(reply: Reply): Reply[] {
  return [...list(reply)].sort((left, right) => Buffer.compare(left as Buffer, right as Buffer))
}

function text(reply: Reply | undefined): string {
  return Buffer.isBuffer(reply) ? reply.toString('latin1') : String(reply)
}

function b64(reply: Reply | undefined): string {
  return (reply as Buffer).toString('base64')
}
