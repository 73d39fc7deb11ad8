/** A directory of backups: a folder grows hidden beside its place, and takes its name whole. */
import {
  createReadStream,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  type Dirent,
  type ReadStream,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { writeFileAtomic } from '../disk/atomic-file.js'
import { errnoOf, fileError } from '../disk/file-error.js'
import { removeLeftovers } from '../disk/leftovers.js'
import { FileOutput } from '../disk/output/file-output.js'
import type { Output } from '../disk/output/output.js'
import { temporaryName, temporaryState } from '../disk/owner.js'
import { statOf } from '../disk/stat.js'
import { WholeDirectory } from '../disk/whole-directory.js'
import { syncDirectory } from '../disk/write-all.js'
import type {
  NewFolder,
  NewObjectOptions,
  Store,
  StoredFile,
  StoredObject,
  StorePath,
} from './store.js'

const READ_BYTES = 1 << 20

export class DirectoryStore implements Store {
  readonly place: string

  constructor(place: string) {
    this.place = place
  }

  pathOf(path: StorePath): string {
    return join(this.place, ...path)
  }

  async isThere(): Promise<boolean> {
    return await Promise.resolve(statOf(this.place)?.isDirectory() === true)
  }

  async folders(path: StorePath): Promise<readonly string[]> {
    return await Promise.resolve(namesIn(this.pathOf(path), (each) => each.isDirectory()))
  }

  async put(path: StorePath, text: string): Promise<void> {
    writeFileAtomic(this.pathOf(path), text)
    await Promise.resolve()
  }

  async readText(path: StorePath, maxBytes: number): Promise<string | undefined> {
    const file = this.pathOf(path)
    try {
      if (statSync(file).size > maxBytes) return undefined
      return await Promise.resolve(readFileSync(file, 'utf8'))
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined
      throw fileError(file, 'read', error)
    }
  }

  async open(path: StorePath): Promise<StoredObject> {
    return await Promise.resolve(openFile(this.pathOf(path)))
  }

  async files(path: StorePath): Promise<readonly StoredFile[]> {
    const directory = this.pathOf(path)
    const names = namesIn(directory, (each) => each.isFile())
    const sizes = names.map((name) => statOf(join(directory, name))?.size ?? 0)
    return await Promise.resolve(names.map((name, at) => ({ name, sizeBytes: sizes[at]! })))
  }

  async create(path: StorePath, { direct }: NewObjectOptions): Promise<Output> {
    this.#makeFolders(path)
    return await Promise.resolve(new FileOutput(this.pathOf(path), { direct }))
  }

  async removeFile(path: StorePath): Promise<void> {
    const file = this.pathOf(path)
    try {
      rmSync(file, { force: true })
    } catch (error) {
      throw fileError(file, 'write', error)
    }
    await Promise.resolve()
  }

  async tidyFolder(): Promise<void> {
    // The next writer of a file removes what was left of it.
    await Promise.resolve()
  }

  async changedAtMs(path: StorePath): Promise<number | undefined> {
    return await Promise.resolve(statOf(this.pathOf(path))?.mtimeMs)
  }

  async createFolder(path: StorePath): Promise<NewFolder> {
    const place = this.pathOf(path)
    return await Promise.resolve(new NewDirectory(place, this.#makeFolders(path)))
  }

  /** Those that were made, the innermost first. The repository itself may be new, and all folders in it; its
   * parent is not. */
  #makeFolders(path: StorePath): readonly string[] {
    const made: string[] = []
    for (let depth = 0; depth < path.length; depth += 1) {
      const directory = this.pathOf(path.slice(0, depth))
      if (makeDirectory(directory)) made.unshift(directory)
    }
    return made
  }

  async removeFolder(path: StorePath): Promise<void> {
    const directory = this.pathOf(path)
    // It goes as a whole, as it came: who is killed here leaves what the next run knows.
    const going = join(dirname(directory), temporaryName(basename(directory)))
    try {
      renameSync(directory, going)
      syncDirectory(dirname(directory))
      rmSync(going, { recursive: true, force: true })
    } catch (error) {
      // Somebody else was faster.
      if (errnoOf(error) !== 'ENOENT') throw fileError(directory, 'write', error)
    }
    await Promise.resolve()
  }

  async removeUnborn(
    path: StorePath,
    _names: readonly string[],
    isOurs: (name: string) => boolean,
  ): Promise<void> {
    removeLeftovers(this.pathOf(path), (each) => {
      const name = /^\.([^.]+)\./.exec(each)?.[1]
      return name !== undefined && isOurs(name) ? temporaryState(each, name) : undefined
    })
    await Promise.resolve()
  }
}

class NewDirectory implements NewFolder {
  readonly place: string
  readonly #made: readonly string[]
  #directory: WholeDirectory
  #isDone = false

  constructor(place: string, made: readonly string[]) {
    this.#made = made
    this.#directory = new WholeDirectory(place)
    this.place = this.#directory.targetPath
  }

  get spoolDirectory(): string {
    return this.#directory.temporaryPath
  }

  async create(file: string, { direct }: NewObjectOptions): Promise<Output> {
    return await Promise.resolve(new FileOutput(this.#pathOf(file), { direct }))
  }

  async put(file: string, text: string): Promise<void> {
    writeFileAtomic(this.#pathOf(file), text)
    await Promise.resolve()
  }

  readonly reopen = async (file: string): Promise<StoredObject> =>
    await Promise.resolve(openFile(this.#pathOf(file)))

  async clear(): Promise<void> {
    this.#directory.discard()
    this.#directory = new WholeDirectory(this.place)
    await Promise.resolve()
  }

  async commit(record: string, text: string): Promise<void> {
    await this.put(record, text)
    this.#directory.commit()
    this.#isDone = true
  }

  async discard(): Promise<void> {
    if (this.#isDone) return
    this.#isDone = true
    this.#directory.discard()
    // They are empty again, unless somebody else began a backup there.
    this.#made.forEach(removeEmpty)
    await Promise.resolve()
  }

  #pathOf(file: string): string {
    return join(this.#directory.temporaryPath, file)
  }
}

function namesIn(directory: string, isWanted: (entry: Dirent) => boolean): readonly string[] {
  if (statOf(directory)?.isDirectory() !== true) return []
  try {
    const entries = readdirSync(directory, { withFileTypes: true })
    return entries
      .filter(isWanted)
      .map((each) => each.name)
      .sort()
  } catch (error) {
    throw fileError(directory, 'read', error)
  }
}

function openFile(path: string): StoredObject {
  try {
    const { size } = statSync(path)
    return new LocalFile(path, size)
  } catch (error) {
    throw fileError(path, 'read', error)
  }
}

/** False: it is there. */
function makeDirectory(path: string): boolean {
  if (statOf(path)?.isDirectory() === true) return false
  try {
    mkdirSync(path, { mode: 0o700 })
    syncDirectory(dirname(path))
    return true
  } catch (error) {
    throw fileError(path, 'write', error)
  }
}

function removeEmpty(path: string): void {
  try {
    rmdirSync(path)
  } catch (error) {
    if (errnoOf(error) !== 'ENOTEMPTY') throw fileError(path, 'write', error)
  }
}

class LocalFile implements StoredObject {
  readonly name: string
  readonly path: string
  readonly sizeBytes: number
  #stream: ReadStream | undefined

  constructor(path: string, sizeBytes: number) {
    this.name = path
    this.path = path
    this.sizeBytes = sizeBytes
  }

  /** Opened once somebody asks for it: who reads the file by its name does not. */
  get stream(): ReadStream {
    this.#stream ??= createReadStream(this.path, { highWaterMark: READ_BYTES })
    return this.#stream
  }
}
