/**
 * What a port says that was announced to a master and holds nothing: as the replica that its link is,
 * never to be promoted, never to be listed. Who asks it for data gets none.
 */
import { LinkError } from '../../errors.js'
import { formatServerAddress } from '../../net/address.js'
import type { AnnouncedLink, LinkStatus, ServerPlace } from '../../net/server-settings.js'
import { History } from '../origin/history.js'
import type { Origin, UpstreamFacts } from '../origin/origin.js'
import type { StreamLog } from '../origin/stream-log.js'

/**
 * A Sentinel that reconfigures us looks each second whether we are there, and the next replica waits
 * until we are. It is told so, while the others are asked whether it is right: nothing depends on us.
 */
const CLAIMED_MS = 10_000

export class AnnouncedOrigin implements Origin {
  readonly isReady = false
  readonly writer = undefined
  readonly hasCommandsBehindSnapshot = false
  readonly mayRelabel = false
  readonly backlogSizeBytes = 0
  readonly #at: ServerPlace
  #link: AnnouncedLink | undefined
  #claim: { place: ServerPlace; untilMs: number } | undefined

  /** @param at who the master was before there was a link */
  constructor(at: ServerPlace) {
    this.#at = at
  }

  follow(link: AnnouncedLink): void {
    this.#link = link
  }

  readonly onReplicaOf = (place: ServerPlace): void => {
    this.#claim = { place, untilMs: performance.now() + CLAIMED_MS }
    this.#link?.hurry()
  }

  get history(): History {
    const replid = this.#link?.status.replid ?? '0'.repeat(40)
    return new History({ replid, replid2: '', secondReplOffset: -1 })
  }

  get log(): StreamLog {
    const end = this.boundaryReplOffset
    return { firstReplOffset: end + 1, endReplOffset: end, memoryBytes: 0, view: none, read: never }
  }

  get boundaryReplOffset(): number {
    return Math.max(0, this.#link?.status.replOffset ?? 0)
  }

  get upstream(): UpstreamFacts {
    const status = this.#link?.status
    const place = this.#claimed(status) ?? status?.address ?? this.#at
    const isClaimed = place === this.#claim?.place
    const isUp = isClaimed || status?.isUp === true
    const seconds = (performance.now() - (status?.lastByteMs ?? 0)) / 1000
    return {
      address: status?.address === undefined ? '' : formatServerAddress(status.address),
      ...{ host: place.host, port: place.port, isUp },
      isSyncing: !isUp && status?.isSyncing === true,
      lastIoSeconds: isUp ? Math.max(0, Math.round(seconds)) : -1,
      downSinceMs: undefined,
      ...{ lost: 0, fullResyncs: 0, partialResyncs: 0 },
    }
  }

  setListener(): void {
    // Nothing comes that anybody could be told of.
  }

  resume(): 'no' {
    return 'no'
  }

  snapshot(): Promise<never> {
    return never()
  }

  tick(): void {
    // Nothing happens here by itself.
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  /** Until the link is there, or should have been. */
  #claimed(status: LinkStatus | undefined): ServerPlace | undefined {
    const claim = this.#claim
    if (claim === undefined) return undefined
    const { host, port } = claim.place
    const { address, isUp = false } = status ?? {}
    const isThere = isUp && address?.host === host && address.port === port
    if (isThere || performance.now() > claim.untilMs) this.#claim = undefined
    return this.#claim?.place
  }
}

function none(): undefined {
  return undefined
}

function never(): Promise<never> {
  return Promise.reject(new LinkError('ERR_NO_SNAPSHOT', 'there is no data at this port'))
}
