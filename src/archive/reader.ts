/**
 * The one reader of archives (what `tail -o` keeps) and of the multi-part append-only files of
 * servers: which files, read in which order, come to the state of a moment.
 *
 *     const archive = openArchive('/backup/archive')      // also /var/lib/redis, or a *.manifest
 *     const { base, increments } = archive.at({ timeMs: Date.parse('2026-11-22T10:00:00Z') })
 *
 * `at` chooses the files; within the last of them the moment lies somewhere, and a `MomentGate`
 * (./moment-gate.ts), fed with what an AofParser reports, says which command is the last. So
 * nothing is read twice. `increments` alone gives every command behind all bases.
 *
 * Offsets are those of the replication stream in an archive. A server's own directory has none:
 * there they count the bytes of its files, one behind the other, the base included.
 *
 * Only reads, and holds nothing open. A writer may prune the archive meanwhile: `at` looks again
 * once where a file is gone, so call it late and open the files at once.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { FileError, MomentError } from '../errors.js'
import { findManifest, readManifestSet, type ManifestSet } from './manifest-set.js'
import type { Moment } from './moment.js'
import { recoverPart } from './recovery.js'
import type { IncrRecord } from './sidecar.js'
import {
  beforeFirst,
  endOfSecond,
  missingOf,
  Places,
  timeText,
  type ArchiveIncrement,
  type ArchiveState,
  type ArchiveWindow,
} from './state.js'
import { serverState, serverWindow } from './server-set.js'
import { generationsOf, knownEnd, type Generation } from './timeline.js'

export type { ArchiveBase, ArchiveIncrement, ArchiveState, ArchiveWindow } from './state.js'

export interface Archive {
  /** Where the parts lie. */
  readonly dir: string
  /** `archive`: kept by rrep, with offsets; `server`: a server's own. */
  readonly kind: 'archive' | 'server'
  /** The address it was kept from, as far as it is known. */
  readonly source: string | undefined
  /** What is not as it should be, in words; reading goes on as far as that is possible. */
  readonly problems: readonly string[]
  /** Oldest first. */
  readonly windows: readonly ArchiveWindow[]
  /** Every increment, oldest first, over all bases and gaps: what `tail` reads. */
  readonly increments: readonly ArchiveIncrement[]
  /**
   * Throws MomentError where that moment is not in it (before the first base, inside a gap, behind
   * the end, or a time where nothing has one), FileError where a file is missing.
   */
  at(moment: Moment): ArchiveState
  /** Last stream byte kept. Reads the newest increment. Undefined in a server's own directory. */
  endReplOffset(): number | undefined
}

/** Throws FileError, AofError (damaged manifest) or UsageError (several manifests). */
export function openArchive(path: string): Archive {
  return new OpenArchive(findManifest(path))
}

class OpenArchive implements Archive {
  #set: ManifestSet
  #generations: Generation[]
  #endReplOffset: number | undefined

  constructor(manifestPath: string) {
    this.#set = readManifestSet(manifestPath)
    this.#generations = this.#readGenerations()
  }

  get dir(): string {
    return this.#set.dir
  }

  get kind(): 'archive' | 'server' {
    return this.#set.timeline === undefined ? 'server' : 'archive'
  }

  get source(): string | undefined {
    const source = this.#set.sidecar?.source ?? ''
    return source === '' ? undefined : source
  }

  get problems(): readonly string[] {
    const { sidecar, sidecarProblem, timeline, dir } = this.#set
    if (timeline !== undefined && sidecarProblem !== undefined) {
      return [
        `the sidecar of ${dir} cannot be used: ${sidecarProblem}. The timeline was made again from ` +
          'the manifests and the marks in the increments; what those do not name is not read',
      ]
    }
    if (timeline !== undefined && sidecar === undefined) {
      return [
        `${dir} has no sidecar: the timeline was made again from the manifests and the marks in ` +
          'the increments; what those do not name is not read',
      ]
    }
    if (timeline === undefined && (sidecar !== undefined || sidecarProblem !== undefined)) {
      return [
        `a server has gone on with the archive in ${dir}: only what its manifest names is read`,
      ]
    }
    return []
  }

  get windows(): readonly ArchiveWindow[] {
    if (this.#set.timeline === undefined) return [serverWindow(this.#set)]
    const windows: ArchiveWindow[] = []
    let open: ArchiveWindow | undefined
    for (const generation of this.#generations) {
      const { base, incrs, gap } = generation
      const isLast = generation === this.#generations.at(-1)
      open ??= {
        replid: base?.replid ?? incrs[0]?.replid,
        fromReplOffset: base?.replOffset ?? incrs[0]?.startReplOffset,
        toReplOffset: undefined,
        fromMs: base?.unixMs ?? incrs[0]?.unixMs,
        toMs: undefined,
        bases: 0,
        isWithoutBase: base === undefined,
      }
      if (base !== undefined) open.bases += 1
      if (gap === undefined && !isLast) continue
      open.toReplOffset = gap === undefined ? undefined : gap.fromReplOffset - 1
      open.toMs = gap?.unixMs
      windows.push(open)
      open = undefined
    }
    return windows
  }

  get increments(): readonly ArchiveIncrement[] {
    if (this.#set.timeline === undefined) return serverState(this.#set, 'end').increments
    const places = new Places()
    return this.#generations.flatMap(({ incrs }, index) =>
      incrs.map((incr, i) => ({
        path: join(this.dir, incr.file),
        startReplOffset: incr.startReplOffset,
        startByteOffset: places.next(join(this.dir, incr.file)),
        isBehindGap: i === 0 && this.#generations[index - 1]?.gap !== undefined,
      })),
    )
  }

  at(moment: Moment): ArchiveState {
    const state = this.#choose(moment)
    if (missingOf(state).length === 0) return state
    // A writer has pruned what was read of before.
    this.#set = readManifestSet(this.#set.manifestPath)
    this.#generations = this.#readGenerations()
    this.#endReplOffset = undefined
    const again = this.#choose(moment)
    const [missing] = missingOf(again)
    if (missing === undefined) return again
    throw new FileError('ERR_NO_SUCH_FILE', `${this.dir} lists ${missing}, which is missing`, {
      details: { file: missing },
    })
  }

  endReplOffset(): number | undefined {
    const last = this.#generations.at(-1)
    const incr = last?.incrs.at(-1)
    if (last === undefined || incr === undefined) return last?.base?.replOffset
    this.#endReplOffset ??= incr.endReplOffset ?? recoverPart(join(this.dir, incr.file)).replOffset
    return this.#endReplOffset
  }

  /** A base that is gone is none: from an older one the increments lead over its place. */
  #readGenerations(): Generation[] {
    const timeline = this.#set.timeline ?? []
    return generationsOf(
      timeline.filter((entry) => entry.kind !== 'base' || existsSync(join(this.dir, entry.file))),
    )
  }

  #choose(moment: Moment): ArchiveState {
    if (this.#set.timeline === undefined) return serverState(this.#set, moment)
    const at =
      moment === 'end'
        ? this.#generations.length - 1
        : 'timeMs' in moment
          ? this.#byTime(moment.timeMs)
          : this.#byOffset(moment.replOffset)
    return this.#stateOf(at, moment)
  }

  /**
   * From the base of a generation to the moment. A newer base's increments are listed too, as far
   * as they may be needed: the snapshot of a second connection is dated when it arrives, and the
   * stream had gone on meanwhile.
   */
  #stateOf(index: number, moment: Moment): ArchiveState {
    const base = this.#generations[index]?.base
    const places = new Places()
    const basePath = base && join(this.dir, base.file)
    if (basePath !== undefined) places.next(basePath)
    const increments = this.#historyFrom(index)
      .filter((_, i, incrs) => i === 0 || !isBehind(incrs[i]!, incrs[i - 1]!, moment))
      .map((incr): ArchiveIncrement => {
        const path = join(this.dir, incr.file)
        const { startReplOffset } = incr
        return { path, startReplOffset, startByteOffset: places.next(path), isBehindGap: false }
      })
    return {
      moment,
      base: base && { path: basePath!, replOffset: base.replOffset, unixMs: base.unixMs },
      increments,
    }
  }

  /** The increments of a generation and of those behind it, up to a gap. */
  #historyFrom(index: number): IncrRecord[] {
    const incrs: IncrRecord[] = []
    for (const generation of this.#generations.slice(index)) {
      incrs.push(...generation.incrs)
      if (generation.gap !== undefined) break
    }
    return incrs
  }

  #byTime(timeMs: number): number {
    const index = this.#generations.findLastIndex(
      ({ base }) => base !== undefined && base.unixMs <= endOfSecond(timeMs),
    )
    const generation = this.#generations[index]
    if (generation === undefined) throw this.#beforeFirst(timeText(timeMs))
    const { gap } = generation
    if (gap !== undefined && timeMs >= gap.unixMs) throw this.#insideGap(timeText(timeMs), index)
    return index
  }

  /** The newest history that has it: a server that began anew counts from the start again. */
  #byOffset(replOffset: number): number {
    const generations = this.#generations
    for (let index = generations.length - 1; index >= 0; index--) {
      const generation = generations[index]!
      if (generation.base === undefined || replOffset < generation.base.replOffset) continue
      if (replOffset <= this.#endOf(index)) return index
    }
    const text = `offset ${replOffset}`
    const first = generations.find(({ base }) => base !== undefined)
    if (first?.base === undefined || generations.every((each) => isAfter(each, replOffset))) {
      throw this.#beforeFirst(text)
    }
    const end = this.endReplOffset() ?? 0
    const last = generations.at(-1)
    if (last?.base === undefined || replOffset > end) {
      throw new MomentError('after-end', `the archive ends at offset ${end}, before ${text}`, {
        hint: 'leave out the moment for the newest state',
        details: { endReplOffset: end },
      })
    }
    const at = generations.findLastIndex(
      ({ base, gap }) => gap !== undefined && base !== undefined && replOffset > base.replOffset,
    )
    throw this.#insideGap(text, at)
  }

  #endOf(index: number): number {
    const generation = this.#generations[index]!
    if (index === this.#generations.length - 1) return this.endReplOffset() ?? -1
    const last = generation.incrs.at(-1)
    if (generation.gap !== undefined) return generation.gap.fromReplOffset - 1
    if (last === undefined || last.endReplOffset !== undefined) return knownEnd(generation)
    return recoverPart(join(this.dir, last.file)).replOffset
  }

  #beforeFirst(text: string): MomentError {
    const base = this.#generations.find((each) => each.base !== undefined)?.base
    return beforeFirst(text, this.dir, base?.unixMs, base?.replOffset)
  }

  #insideGap(text: string, index: number): MomentError {
    const gap = this.#generations[index]?.gap
    const next = this.#generations[index + 1]?.base
    const until = next === undefined ? '' : ` and begins again at ${timeText(next.unixMs)}`
    const nextOffset = next === undefined ? '' : `, offset ${next.replOffset}`
    return new MomentError(
      'in-gap',
      `${text} lies in a gap of the archive: what came from offset ` +
        `${gap?.fromReplOffset ?? 0} on is missing${until}${nextOffset}`,
      {
        hint: `the last state before it is offset ${(gap?.fromReplOffset ?? 1) - 1}`,
        details: { fromReplOffset: gap?.fromReplOffset, toReplOffset: gap?.toReplOffset },
      },
    )
  }
}

/** Surely: what is in an increment came after the one before it was begun. */
function isBehind(incr: IncrRecord, before: IncrRecord, moment: Moment): boolean {
  if (moment === 'end') return false
  if ('replOffset' in moment) return incr.startReplOffset >= moment.replOffset
  const { timeMs, leastReplOffset = -1 } = moment
  return before.unixMs > endOfSecond(timeMs) && incr.startReplOffset >= leastReplOffset
}

function isAfter(generation: Generation, replOffset: number): boolean {
  return generation.base === undefined || generation.base.replOffset > replOffset
}
