/**
 * Where backups lie: folders of objects, behind one contract, whatever keeps them.
 *
 * An object appears whole or not at all, and is never changed. A folder is there once its record is:
 * that is written last, so whoever is killed before leaves what no reader takes for a backup.
 */
import type { Readable } from 'node:stream'
import type { Output } from '../disk/output/output.js'

/** Names from the outer to the inner one; no name leads elsewhere. */
export type StorePath = readonly string[]

export interface StoredObject {
  /** For messages. */
  readonly name: string
  readonly stream: Readable
  /** Of what lies on this machine: read by its name it takes half of the time. */
  readonly path?: string | undefined
  readonly sizeBytes: number
}

export interface StoredFile {
  readonly name: string
  readonly sizeBytes: number
}

export interface Store {
  /** As users write it. */
  readonly place: string
  /** What is at a path, as users write it. */
  pathOf(path: StorePath): string
  isThere(): Promise<boolean>
  /** The folders directly in one, in order; none where there is no such folder. */
  folders(path: StorePath): Promise<readonly string[]>
  /** A small object; undefined where it is not there, or larger. */
  readText(path: StorePath, maxBytes: number): Promise<string | undefined>
  /** What lies directly in a folder; nothing where it is not there. */
  files(path: StorePath): Promise<readonly StoredFile[]>
  /** An object that appears, or is replaced, as a whole, in a folder that need not be there. */
  create(path: StorePath, options: NewObjectOptions): Promise<Output>
  /** Also where it is not there. */
  removeFile(path: StorePath): Promise<void>
  /** What a killed writer left of objects that it had begun in a folder that is its own. */
  tidyFolder(path: StorePath): Promise<void>
  /** Throws FileError where it is not there. */
  open(path: StorePath): Promise<StoredObject>
  /** A small new object in a folder that is there. */
  put(path: StorePath, text: string): Promise<void>
  /** Unix ms of the last change in a folder; undefined where it is not there. */
  changedAtMs(path: StorePath): Promise<number | undefined>
  /** Not there until `commit`. Throws where it could not be written: nothing is left then. */
  createFolder(path: StorePath): Promise<NewFolder>
  /** With all that is in it; as a whole, or its record first, so that half of it is none. */
  removeFolder(path: StorePath, record: string): Promise<void>
  /** What killed runs left in a folder on their way to become one in it. `names`: folders in it that have
   * no record. */
  removeUnborn(
    path: StorePath,
    names: readonly string[],
    isOurs: (name: string) => boolean,
  ): Promise<void>
}

export interface NewFolder {
  /** What it will be called. */
  readonly place: string
  /** For what a writer that cannot wait brings too early. */
  readonly spoolDirectory: string
  /** An object in it. */
  create(file: string, options: NewObjectOptions): Promise<Output>
  put(file: string, text: string): Promise<void>
  /** What was written, to be read again before `commit`; only where that costs no transfer. Where it is
   * missing, a writer that can be held up is held up: nothing lies on this machine then. */
  readonly reopen?: (file: string) => Promise<StoredObject>
  /** Forgets all that was put into it. */
  clear(): Promise<void>
  /** The record is written, and the folder is there. */
  commit(record: string, text: string): Promise<void>
  /** Leaves no trace, as far as that is possible. Nothing happens behind `commit`. */
  discard(): Promise<void>
}

export interface NewObjectOptions {
  /** About: a store may have to know how large its parts must be. */
  expectedBytes?: number | undefined
  /** Much data that nobody reads soon. */
  direct?: boolean | undefined
}
