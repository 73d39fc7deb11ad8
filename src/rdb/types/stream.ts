/**
 * Streams: types 15 (5.0), 19 (7.0), 21 (7.2), 26 (8.6), 27 (8.8). Nodes, then metadata, then
 * groups, each with its pending entries and its consumers; from 26 on the ids of idempotent
 * producers.
 */
import type { Core, Step } from '../core.js'
import { TYPE } from '../numbers.js'
import { isU64Max, u64ToNumber, type MutableStreamId } from '../values/u64.js'
import { DEPTH, NOTICE } from '../visitor.js'
import { endKey } from './key-end.js'
import { readStreamNode } from './stream-node.js'

const emits = (core: Core): boolean => core.depth === DEPTH.ELEMENTS

export const streamValue: Step = (core) => {
  core.reading = 'stream'
  core.left = core.input.readLength()
  core.stream.liveEntries = 0
  if (emits(core)) core.visitor.streamNodes?.(core.left)
  return nodes
}

const nodes: Step = (core) => {
  while (core.left > 0) {
    readStreamNode(core)
    core.input.commit()
    core.left -= 1
  }
  return metadata
}

function readLengthId(core: Core, id: MutableStreamId): void {
  core.input.readU64(id.ms)
  core.input.readU64(id.seq)
}

/** 16 raw bytes, big endian. */
function readRawId(core: Core, id: MutableStreamId): void {
  core.input.readU64be(id.ms)
  core.input.readU64be(id.seq)
}

const metadata: Step = (core) => {
  const { input, stream, stats, header } = core
  const { meta } = stream
  core.reading = 'stream metadata'
  if (core.rawFrom >= 0 && core.visitor.streamNodesEnd !== undefined && emits(core)) {
    core.flushRaw()
    core.visitor.streamNodesEnd()
  }
  const at = input.byteOffset
  input.readU64(meta.length)
  readLengthId(core, meta.lastId)
  meta.hasExtended = header.typeByte >= TYPE.STREAM_2
  if (meta.hasExtended) {
    readLengthId(core, meta.firstId)
    readLengthId(core, meta.maxDeletedId)
    input.readU64(meta.entriesAdded)
  } else {
    meta.firstId.ms.set(0, 0)
    meta.firstId.seq.set(0, 0)
    meta.maxDeletedId.copyFrom(meta.firstId)
    meta.entriesAdded.set(0, 0)
  }
  meta.groups = input.readLength()
  stats.elements = u64ToNumber(meta.length)
  stats.streamGroups = meta.groups
  stream.groupsLeft = meta.groups
  if (core.deep && stats.elements !== stream.liveEntries) {
    core.notice(
      NOTICE.STREAM_LENGTH,
      `the stream says it has ${stats.elements} entries, it has ${stream.liveEntries}`,
      at,
    )
  }
  if (emits(core)) core.visitor.streamMeta?.(meta)
  return groups
}

const groups: Step = (core) => {
  const { input, stream, stats, visitor, header } = core
  const { group } = stream
  if (stream.groupsLeft === 0) {
    return header.typeByte >= TYPE.STREAM_4 ? idmp : endKey
  }
  core.reading = 'stream group'
  input.readString(group.name)
  readLengthId(core, group.lastId)
  group.hasEntriesRead = header.typeByte >= TYPE.STREAM_2
  if (group.hasEntriesRead) {
    input.readU64(group.entriesRead)
    group.hasEntriesRead = !isU64Max(group.entriesRead)
  }
  if (!group.hasEntriesRead) group.entriesRead.set(0, 0)
  group.pending = input.readLength()
  stats.streamPending += group.pending
  stream.groupsLeft -= 1
  stream.pending.reset()
  core.left = group.pending
  if (emits(core)) visitor.streamGroup?.(group)
  return groupPending
}

const groupPending: Step = (core) => {
  const { input, stream, visitor } = core
  const { id } = stream
  core.reading = 'pending entry'
  while (core.left > 0) {
    readRawId(core, id)
    const deliveryTimeMs = input.readI64le()
    // As large as can be behind XNACK FATAL.
    input.readU64(core.u64)
    const deliveryCount = u64ToNumber(core.u64)
    input.commit()
    core.left -= 1
    if (core.deep) stream.pending.add(id)
    if (emits(core)) visitor.streamGroupPending?.(id, deliveryTimeMs, deliveryCount)
  }
  return consumerCount
}

const consumerCount: Step = (core) => {
  const { stream, stats } = core
  stream.consumersLeft = core.input.readLength()
  stats.streamConsumers += stream.consumersLeft
  if (emits(core)) core.visitor.count?.(stream.consumersLeft)
  return consumers
}

const consumers: Step = (core) => {
  const { input, stream, visitor, header } = core
  const { consumer } = stream
  if (stream.consumersLeft === 0) {
    return header.typeByte >= TYPE.STREAM_5 ? nackedCount : groupEnd
  }
  core.reading = 'stream consumer'
  input.readString(consumer.name)
  consumer.seenTimeMs = input.readI64le()
  consumer.activeTimeMs = header.typeByte >= TYPE.STREAM_3 ? input.readI64le() : -1
  consumer.pending = input.readLength()
  core.left = consumer.pending
  stream.consumersLeft -= 1
  if (emits(core)) visitor.streamConsumer?.(consumer)
  return consumerPending
}

function ownPending(core: Core): void {
  const { id, pending } = core.stream
  if (!core.deep || pending.own(id)) return
  throw core.corruptAt(
    "a consumer's pending entry is not in the group's list",
    core.input.byteOffset - 16,
  )
}

const consumerPending: Step = (core) => {
  const { input, stream, visitor } = core
  core.reading = 'pending entry of a consumer'
  while (core.left > 0) {
    readRawId(core, stream.id)
    ownPending(core)
    input.commit()
    core.left -= 1
    if (emits(core)) visitor.streamConsumerPending?.(stream.id)
  }
  return consumers
}

const nackedCount: Step = (core) => {
  core.left = core.input.readLength()
  return nacked
}

const nacked: Step = (core) => {
  const { input, stream, visitor } = core
  core.reading = 'pending entry of nobody'
  while (core.left > 0) {
    readRawId(core, stream.id)
    ownPending(core)
    input.commit()
    core.left -= 1
    if (emits(core)) visitor.streamNacked?.(stream.id)
  }
  return groupEnd
}

const groupEnd: Step = (core) => {
  if (core.deep && !core.stream.pending.isConsistent) {
    throw core.corrupt("a group's pending entries are not those of its consumers")
  }
  if (emits(core)) core.visitor.streamGroupEnd?.()
  return groups
}

/** What XADD … IDMP remembers, so that a producer's retry adds nothing. */
const idmp: Step = (core) => {
  const { input, stream, visitor } = core
  core.reading = 'producers of a stream'
  const durationSeconds = input.readLength()
  const maxEntries = input.readLength()
  stream.producersLeft = input.readLength()
  if (emits(core)) visitor.streamIdmp?.(durationSeconds, maxEntries, stream.producersLeft)
  return producers
}

const producers: Step = (core) => {
  const { input, stream, visitor, a } = core
  if (stream.producersLeft === 0) return idmpEnd
  input.readString(a)
  core.left = input.readLength()
  stream.producersLeft -= 1
  if (emits(core)) visitor.streamProducer?.(a, core.left)
  return producerIds
}

const producerIds: Step = (core) => {
  const { input, stream, visitor, a } = core
  while (core.left > 0) {
    input.readString(a)
    readLengthId(core, stream.id)
    input.commit()
    core.left -= 1
    if (emits(core)) visitor.streamProducerId?.(a, stream.id)
  }
  return producers
}

const idmpEnd: Step = (core) => {
  const { input, stream, u64, visitor } = core
  input.readU64(u64)
  input.readU64(stream.meta.entriesAdded)
  if (emits(core)) visitor.streamIdmpEnd?.(u64, stream.meta.entriesAdded)
  return endKey
}
