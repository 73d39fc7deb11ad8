/** One dump by one thread and by several: what each writes and says. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import {
  checkRdb,
  diff,
  exportKeys,
  inspect,
  InputError,
  type ExportOptions,
  type InspectOptions,
} from '../../src/index.js'
import type { PieceSizes } from '../../src/verbs/threads/options.js'

/** Even small dumps are cut into many. */
export const SMALL: PieceSizes = { pieceBytes: 64, readBytes: 4096 }

export interface Outcome {
  readonly bytes: string | undefined
  readonly result: unknown
  readonly error: unknown
}

/** All that can be told of an export; `output` is a file of its own. */
export async function exported(
  file: string,
  directory: string,
  options: Partial<ExportOptions>,
): Promise<Outcome> {
  const output = join(directory, 'out')
  rmSync(output, { force: true })
  const outcome = await outcomeOf(
    async () => await exportKeys(file, { ...options, output, pieceSizes: SMALL }),
  )
  const bytes = outcome.error === undefined ? readFileSync(output, 'latin1') : undefined
  return { ...outcome, bytes }
}

/** All that a check says. */
export async function checked(file: string, threads: number): Promise<Outcome> {
  const outcome = await outcomeOf(async () => await checkRdb(file, { threads, pieceSizes: SMALL }))
  return { ...outcome, bytes: undefined }
}

/** All that a summary says. */
export async function inspected(
  file: string,
  threads: number,
  options: InspectOptions = {},
): Promise<Outcome> {
  const call = { nowMs: Date.UTC(2026, 0), ...options, threads, pieceSizes: SMALL }
  const outcome = await outcomeOf(async () => await inspect(file, call))
  return { ...outcome, bytes: undefined }
}

export async function compared(a: string, b: string, threads: number): Promise<Outcome> {
  const shown: string[] = []
  const outcome = await outcomeOf(
    async () =>
      await diff(a, b, {
        threads,
        pieceSizes: SMALL,
        onDifference: ({ kind, db, key }) => shown.push(`${kind} ${db} ${key.toString('latin1')}`),
      }),
  )
  return { ...outcome, bytes: shown.sort().join('\n') }
}

async function outcomeOf(call: () => Promise<object>): Promise<Omit<Outcome, 'bytes'>> {
  try {
    return { result: await call(), error: undefined }
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    const { message, details, code, hint } = error
    return { result: partialOf(error), error: { message, details, code, hint } }
  }
}

/** What stood in the output when it was taken back is a matter of chunks. */
function partialOf({ partial }: InputError): unknown {
  if (partial === undefined) return undefined
  return { ...partial, writtenBytes: undefined, error: undefined }
}
