/**
 * Takes the constant off (or puts it on again) that all expiries carry while a load is behind its
 * source: see expiry-time.ts. The target knows each key's time itself, so nothing had to be kept
 * here. A script walks the keyspace in pages; who may not EVAL gets the same by single commands.
 */
import { TTL_SHIFT_MS } from '../expiry-time.js'
import { ReplyError, replyText, type Reply } from '../server/reply-reader.js'
import { refused, type TargetConnection } from '../server/target-connection.js'
import type { TargetCapabilities } from '../../servers/capabilities.js'

export interface TtlShiftResult {
  keys: number
  /** Of these, past their time now: they vanish with it. */
  expired: number
}

export interface TtlShiftOptions {
  /** `off`: real times again. `on`: back into a load (after a clean stop). */
  direction: 'off' | 'on'
  /** Fields of hashes, too: only needed where some may carry the constant. */
  fields: boolean
  target: TargetCapabilities
  signal?: AbortSignal | undefined
  /** Keys that were changed, of those that have an expiry. */
  onProgress?: ((keys: number, totalKeys: number) => void) | undefined
}

const PAGE = 1000

/**
 * ARGV: cursor, page, shift, direction (-1 off, 1 on), fields (1 or 0), now. Times are doubles in
 * Lua, exact to 2^53. `%.0f` since a plain number would be written as 1.4e+14.
 */
const SCRIPT = `
local shift = tonumber(ARGV[3])
local sign = tonumber(ARGV[4])
local now = tonumber(ARGV[6])
local keys, expired = 0, 0
local function moved(t)
  if sign < 0 and t >= shift then return t - shift end
  if sign > 0 and t > 0 and t < shift then return t + shift end
end
local page = redis.call('SCAN', ARGV[1], 'COUNT', ARGV[2])
for _, key in ipairs(page[2]) do
  local kind = ''
  if ARGV[5] == '1' then kind = redis.call('TYPE', key).ok end
  if kind == 'hash' then
    local fields = redis.call('HKEYS', key)
    for from = 1, #fields, 500 do
      local some = {}
      for i = from, math.min(from + 499, #fields) do some[#some + 1] = fields[i] end
      local times = redis.call('HPEXPIRETIME', key, 'FIELDS', #some, unpack(some))
      for i, t in ipairs(times) do
        local next = moved(t)
        if next then
          redis.call('HPEXPIREAT', key, string.format('%.0f', next), 'FIELDS', 1, some[i])
        end
      end
    end
  end
  local next = moved(redis.call('PEXPIRETIME', key))
  if next then
    keys = keys + 1
    if next <= now then expired = expired + 1 end
    redis.call('PEXPIREAT', key, string.format('%.0f', next))
  end
end
return {page[1], keys, expired}
`

/** Walks all dbs that hold keys with an expiry. The connection must have nothing in flight. */
export async function shiftTtls(
  connection: TargetConnection,
  options: TtlShiftOptions,
): Promise<TtlShiftResult> {
  const result: TtlShiftResult = { keys: 0, expired: 0 }
  const fields = options.fields && options.target.fieldExpiry
  const info = replyText(await connection.expect('INFO', 'keyspace'))
  const dbs = [...info.matchAll(/^db(\d+):keys=\d+,expires=(\d+)/gm)]
  const total = dbs.reduce((sum, found) => sum + Number(found[2]), 0)
  for (const found of dbs) {
    if (found[2] === '0' && !fields) continue
    await connection.expect('SELECT', found[1]!)
    let cursor = '0'
    do {
      options.signal?.throwIfAborted()
      cursor = await page(connection, cursor, options, fields, result)
      options.onProgress?.(result.keys, total)
    } while (cursor !== '0')
  }
  return result
}

async function page(
  connection: TargetConnection,
  cursor: string,
  options: TtlShiftOptions,
  fields: boolean,
  result: TtlShiftResult,
): Promise<string> {
  if (options.target.version >= 70000) {
    const reply = await connection.call(
      ...['EVAL', SCRIPT, '0', cursor, String(PAGE), String(TTL_SHIFT_MS)],
      ...[options.direction === 'off' ? '-1' : '1', fields ? '1' : '0', String(Date.now())],
    )
    if (Array.isArray(reply)) {
      const [next, keys, expired] = reply as readonly Reply[]
      result.keys += Number(keys)
      result.expired += Number(expired)
      return replyText(next!)
    }
    // Single commands know nothing of fields.
    const isDenied =
      reply instanceof ReplyError &&
      /^(NOPERM|ERR unknown command)|can't run this command/.test(reply.text)
    if (!isDenied || fields) {
      throw refused('the target', 'EVAL', reply instanceof ReplyError ? reply.text : 'no answer')
    }
  }
  return await pageByCommands(connection, cursor, options, result)
}

/** Keys only: servers before 7.0 have no expiry of fields. */
async function pageByCommands(
  connection: TargetConnection,
  cursor: string,
  { target, direction }: TtlShiftOptions,
  result: TtlShiftResult,
): Promise<string> {
  const reply = await connection.expect('SCAN', cursor, 'COUNT', String(PAGE))
  if (!Array.isArray(reply)) return '0'
  const [next, keys] = reply as readonly Reply[]
  const names = (Array.isArray(keys) ? keys : []) as readonly Buffer[]
  const hasExpireTime = target.version >= 70000
  const times = await Promise.all(
    names.map(async (name) => {
      if (hasExpireTime) return Number(await connection.call('PEXPIRETIME', name))
      const left = Number(await connection.call('PTTL', name))
      return left < 0 ? -1 : Date.now() + left
    }),
  )
  await Promise.all(
    names.map(async (name, i) => {
      const time = times[i]!
      const isShifted = time >= TTL_SHIFT_MS
      if (time <= 0 || isShifted !== (direction === 'off')) return
      const moved = direction === 'off' ? time - TTL_SHIFT_MS : time + TTL_SHIFT_MS
      result.keys += 1
      if (moved <= Date.now()) result.expired += 1
      await connection.expect('PEXPIREAT', name, String(moved))
    }),
  )
  return replyText(next!)
}
