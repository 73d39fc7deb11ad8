/**
 * What a target was before a load by replication, kept on disk while it is under way: a file of its own
 * for each load, 0600, in a directory that nobody else may enter. It is there before anything of the
 * target is changed, and goes when all is put back: what a killed run left is put right by whoever finds
 * the password of its record in a target.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { writeFileAtomic } from '../../disk/atomic-file.js'
import { fileError } from '../../disk/file-error.js'
import { newOwnerToken, ownerStateOf, type OwnerState } from '../../disk/owner.js'
import type { ReplicaSettings } from './replica-settings.js'

export interface LoadRecord {
  /** As it was named. */
  readonly target: string
  readonly password: string
  readonly before: ReplicaSettings
  /** Whose load it is. */
  readonly owner: string
}

const SUFFIX = '.load.json'

/** `$XDG_STATE_HOME/rrep`, else `~/.local/state/rrep`. */
export function defaultStateDir(): string {
  const state = process.env['XDG_STATE_HOME'] ?? ''
  return join(state === '' ? join(homedir(), '.local', 'state') : state, 'rrep')
}

/** On disk when it returns. Throws FileError. */
export function keepRecord(stateDir: string, facts: Omit<LoadRecord, 'owner'>): { remove(): void } {
  const path = join(stateDir, nameOf(facts.password))
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw fileError(stateDir, 'make', error)
  }
  const record: LoadRecord = { ...facts, owner: newOwnerToken() }
  writeFileAtomic(path, `${JSON.stringify(record)}\n`)
  return { remove: () => rmSync(path, { force: true }) }
}

export interface FoundRecord {
  readonly record: LoadRecord
  readonly owner: OwnerState | undefined
  remove(): void
}

/** That of the load with this password. */
export function findRecord(stateDir: string, password: string): FoundRecord | undefined {
  const path = join(stateDir, nameOf(password))
  let record: LoadRecord
  try {
    record = JSON.parse(readFileSync(path, 'utf8')) as LoadRecord
  } catch {
    // None is here, or none that can be read: the password says what it can.
    return undefined
  }
  return {
    record,
    owner: ownerStateOf(record.owner),
    remove: () => rmSync(path, { force: true }),
  }
}

/** Of loads of this target whose process has ended and that changed nothing any more. */
export function forgetRecords(stateDir: string, target: string): void {
  for (const name of recordNames(stateDir)) {
    const path = join(stateDir, name)
    try {
      const record = JSON.parse(readFileSync(path, 'utf8')) as LoadRecord
      if (record.target === target && ownerStateOf(record.owner) === 'dead') {
        rmSync(path, { force: true })
      }
    } catch {
      // Another run has removed it, or it is none of ours.
    }
  }
}

function recordNames(stateDir: string): string[] {
  try {
    return readdirSync(stateDir).filter((name) => name.endsWith(SUFFIX))
  } catch {
    return []
  }
}

/** The name tells nobody the password. */
function nameOf(password: string): string {
  return `${createHash('sha256').update(password).digest('hex').slice(0, 24)}${SUFFIX}`
}
