/** Errors of the memory model by type and encoding, against each server of this machine. */
import { serverBinaries } from '../helpers/servers.js'
import { measureModel } from './memory-model.lib.js'

const KEYS = 100_000

export async function run(): Promise<void> {
  const keys = Number(process.env['RREP_MODEL_KEYS'] ?? KEYS)
  for (const binary of serverBinaries()) {
    const errors = await measureModel(binary, keys)
    const percent = (value: number): string => `${(value * 100).toFixed(2)}%`
    const off = (ours: number, theirs: number): string => percent(ours / theirs - 1)
    console.log(
      `\n${binary.name}: ${errors.keys} keys, median error ${percent(errors.medianError)} ` +
        `(at most 3%), sum ${off(errors.modelBytes, errors.serverBytes)}, against ` +
        `used_memory_dataset ${off(errors.modelDatasetBytes, errors.datasetBytes)} (within 3%)`,
    )
    console.log(`  ${'type, encoding'.padEnd(20)}    keys  median     p95      sum`)
    for (const group of errors.groups) {
      console.log(
        `  ${group.name.padEnd(20)} ${String(group.keys).padStart(7)} ` +
          `${percent(group.medianError).padStart(7)} ${percent(group.p95Error).padStart(7)} ` +
          off(group.modelBytes, group.serverBytes).padStart(8),
      )
    }
  }
}
