/** `inspect --key`: a key as text, element by element, or as an object for --json. */
import type { KeyDetail, KeyElement, KeyPlace } from '../../verbs/inspect/one-key.js'
import { printableText, textOrBase64 } from '../../bytes/key-text.js'
import { formatCount, formatSize } from '../units.js'

const SHOWN_RAW_BYTES = 256
const RAW_LINE_BYTES = 16

/** One line of text for each element. */
export function elementLine(element: KeyElement, index: number): string {
  switch (element.kind) {
    case 'string':
    case 'part':
      return printableText(element.value)
    case 'element':
      return `${index}) ${printableText(element.value)}`
    case 'member':
      return printableText(element.value)
    case 'scored':
      return `${element.score}  ${printableText(element.value)}`
    case 'field': {
      const expiry = element.expireAtMs === -1 ? '' : `  (expires ${timeText(element.expireAtMs)})`
      return `${printableText(element.field)}: ${printableText(element.value)}${expiry}`
    }
    case 'entry':
      return `[${element.id}]`
    case 'meta': {
      const { value } = element
      return `${element.name}: ${typeof value === 'string' ? value : printableText(value)}`
    }
  }
}

/** What is known of the key, above its elements. */
export function placeText(place: KeyPlace): string {
  const lines: [string, string][] = [
    ['key', `${printableText(place.key)} (db ${place.dbnum})`],
    ['type', printableText(place.type)],
    ['expires', place.expireAtMs === -1 ? 'never' : timeText(place.expireAtMs)],
  ]
  if (place.idleSeconds >= 0) lines.push(['idle', `${formatCount(place.idleSeconds)} s`])
  if (place.freq >= 0) lines.push(['frequency', String(place.freq)])
  lines.push([
    'in the file',
    `type byte ${place.typeByte} (${place.typeName}), record at byte ${place.byteOffset}, ` +
      `value at byte ${place.valueByteOffset}`,
  ])
  return columns(lines)
}

/** What is known behind the elements. */
export function detailText(detail: KeyDetail): string {
  const lines: [string, string][] = [
    ['encoding', `${detail.encoding}, ${elementsText(detail)}`],
    ['memory', `${formatSize(detail.memory)} (${formatCount(detail.memory)} bytes, estimated)`],
    [
      'stored',
      `${formatCount(detail.serializedBytes)} bytes` +
        (detail.compressed ? ', partly compressed (LZF)' : ''),
    ],
  ]
  if (detail.packedBlobs > 0) {
    const blobs = detail.packedBlobs === 1 ? '1 blob' : `${formatCount(detail.packedBlobs)} blobs`
    lines.push(['packed', `${blobs} of ${formatCount(detail.packedBytes)} bytes unpacked`])
  }
  return `${columns(lines)}${rawText(detail)}`
}

/** The first bytes of the value, 16 a line: offset in the file, hex, printable ASCII. */
function rawText({ raw, valueByteOffset, serializedBytes }: KeyDetail): string {
  const shown = raw.subarray(0, SHOWN_RAW_BYTES)
  const lines: string[] = []
  for (let at = 0; at < shown.length; at += RAW_LINE_BYTES) {
    const row = shown.subarray(at, at + RAW_LINE_BYTES)
    const hex = Array.from(row, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const text = Array.from(row, (byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.',
    ).join('')
    const place = String(valueByteOffset + at).padStart(10)
    lines.push(`  ${place}  ${hex.padEnd(RAW_LINE_BYTES * 3 - 1)}  ${text}\n`)
  }
  const more = serializedBytes - shown.length
  if (more > 0) lines.push(`  … ${formatCount(more)} bytes more\n`)
  return `raw\n${lines.join('')}`
}

function columns(lines: readonly (readonly [string, string])[]): string {
  return lines.map(([name, value]) => `${name.padEnd(12)} ${value}\n`).join('')
}

/** What a line of JSON says of a key in front of what an export says of it. */
export const KEY_EVENT = '"event":"key",'

/** What it says behind it. */
export function detailObject(detail: KeyDetail): object {
  const exact = textOrBase64('key', detail.key)
  return {
    ...('keyBase64' in exact ? { keyBase64: exact['keyBase64'] } : {}),
    ...(detail.idleSeconds >= 0 ? { idleSeconds: detail.idleSeconds } : {}),
    ...(detail.freq >= 0 ? { freq: detail.freq } : {}),
    memory: detail.memory,
    elements: detail.elements,
    raw: {
      typeByte: detail.typeByte,
      typeName: detail.typeName,
      byteOffset: detail.byteOffset,
      valueByteOffset: detail.valueByteOffset,
      bytes: detail.serializedBytes,
      packedBlobs: detail.packedBlobs,
      packedBytes: detail.packedBytes,
      compressed: detail.compressed,
      // At most the first 4 kB.
      base64: detail.raw.toString('base64'),
    },
  }
}

function elementsText(detail: KeyDetail): string {
  return detail.elements === 1 ? '1 element' : `${formatCount(detail.elements)} elements`
}

function timeText(unixMs: number): string {
  const date = new Date(unixMs)
  return Number.isNaN(date.getTime()) ? `${unixMs} ms` : date.toISOString()
}
