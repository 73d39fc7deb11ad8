/** `inspect --key`: a key as text, element by element, or as an object for --json. */
import type { KeyDetail, KeyElement } from '../../api/inspect-key.js'
import { printableText, textOrBase64 } from '../../api/key-text.js'
import { formatCount, formatSize } from '../units.js'

/** One line of text for each element. */
export function elementLine(element: KeyElement, index: number): string {
  switch (element.kind) {
    case 'string':
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
export function detailText(detail: KeyDetail): string {
  const lines: [string, string][] = [
    ['key', `${printableText(detail.key)} (db ${detail.dbnum})`],
    ['type', `${printableText(detail.type)}, ${detail.encoding}, ${elementsText(detail)}`],
    ['memory', `${formatSize(detail.memory)} (${formatCount(detail.memory)} bytes, estimated)`],
    ['expires', detail.expireAtMs === -1 ? 'never' : timeText(detail.expireAtMs)],
  ]
  if (detail.idleSeconds >= 0) lines.push(['idle', `${formatCount(detail.idleSeconds)} s`])
  if (detail.freq >= 0) lines.push(['frequency', String(detail.freq)])
  lines.push([
    'in the file',
    `type byte ${detail.typeByte} (${detail.typeName}), record at byte ${detail.byteOffset}, ` +
      `value at byte ${detail.valueByteOffset}, ${formatCount(detail.serializedBytes)} bytes` +
      (detail.compressed ? ', partly compressed (LZF)' : ''),
  ])
  if (detail.packedBlobs > 0) {
    const blobs = detail.packedBlobs === 1 ? '1 blob' : `${formatCount(detail.packedBlobs)} blobs`
    lines.push(['packed', `${blobs} of ${formatCount(detail.packedBytes)} bytes unpacked`])
  }
  return lines.map(([name, value]) => `${name.padEnd(12)} ${value}\n`).join('')
}

export function detailObject(detail: KeyDetail, elements: readonly KeyElement[]): object {
  return {
    db: detail.dbnum,
    ...textOrBase64('key', detail.key),
    type: detail.type,
    encoding: detail.encoding,
    memory: detail.memory,
    elements: detail.elements,
    expireAt: detail.expireAtMs === -1 ? null : detail.expireAtMs,
    ...(detail.idleSeconds >= 0 ? { idleSeconds: detail.idleSeconds } : {}),
    ...(detail.freq >= 0 ? { freq: detail.freq } : {}),
    raw: {
      typeByte: detail.typeByte,
      typeName: detail.typeName,
      byteOffset: detail.byteOffset,
      valueByteOffset: detail.valueByteOffset,
      bytes: detail.serializedBytes,
      packedBlobs: detail.packedBlobs,
      packedBytes: detail.packedBytes,
      compressed: detail.compressed,
    },
    value: elements.map(elementObject),
  }
}

function elementObject(element: KeyElement): object {
  switch (element.kind) {
    case 'string':
    case 'element':
    case 'member':
      return textOrBase64('value', element.value)
    case 'scored':
      return { ...textOrBase64('member', element.value), score: scoreValue(element.score) }
    case 'field':
      return {
        ...textOrBase64('field', element.field),
        ...textOrBase64('value', element.value),
        ...(element.expireAtMs === -1 ? {} : { expireAt: element.expireAtMs }),
      }
    case 'entry':
      return { id: element.id }
    case 'meta':
      return {
        name: element.name.trim(),
        ...(typeof element.value === 'string'
          ? { value: element.value }
          : textOrBase64('value', element.value)),
      }
  }
}

/** JSON has no infinities. */
function scoreValue(score: number): number | string {
  return Number.isFinite(score) ? score : score > 0 ? 'inf' : '-inf'
}

function elementsText(detail: KeyDetail): string {
  return detail.elements === 1 ? '1 element' : `${formatCount(detail.elements)} elements`
}

function timeText(unixMs: number): string {
  const date = new Date(unixMs)
  return Number.isNaN(date.getTime()) ? `${unixMs} ms` : date.toISOString()
}
