/**
 * A first look at a stream that is going to be rebuilt by commands: which pending entries, and
 * which ids of producers, belong to stream entries that do not live any more. XCLAIM and XIDMPRECORD
 * take only what the stream holds, so these must stand there for a while (see stream-commands.ts).
 */
import { compareStreamIds, MutableStreamId } from '../rdb/values/u64.js'
import { DEPTH, type Depth, type RdbVisitor, type Slice, type StreamId } from '../rdb/visitor.js'
import { StreamIdList } from './pending-list.js'

export class StreamSurvey implements RdbVisitor {
  readonly firstLiveId = new MutableStreamId()
  liveEntries = 0
  readonly #live = new StreamIdList()
  #dead: StreamId[] = []

  clear(): void {
    this.liveEntries = 0
    this.#live.clear()
    this.#dead = []
  }

  key(): Depth {
    return DEPTH.ELEMENTS
  }

  streamEntry(id: StreamId): void {
    if (this.liveEntries === 0) this.firstLiveId.copyFrom(id)
    this.liveEntries += 1
    this.#live.add(id)
  }

  streamGroupPending(id: StreamId): void {
    this.#need(id)
  }

  streamProducerId(_iid: Slice, entryId: StreamId): void {
    this.#need(entryId)
  }

  #need(id: StreamId): void {
    if (this.#live.indexOf(id) !== -1) return
    const copy = new MutableStreamId()
    copy.copyFrom(id)
    this.#dead.push(copy)
  }

  /** Ids that are told of but have no stream entry: ascending, each once. */
  deadIds(): readonly StreamId[] {
    return this.#dead
      .sort(compareStreamIds)
      .filter((id, index, all) => index === 0 || compareStreamIds(id, all[index - 1]!) !== 0)
  }
}
