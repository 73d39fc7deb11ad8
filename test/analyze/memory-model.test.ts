/** The memory model against real servers: a smaller version of `npm run bench -- memory-model`. */
import { expect, test } from 'vitest'
import { serverBinaries, type ServerBinary } from '../helpers/servers.js'
import { measureModel } from '../bench/memory-model.lib.js'

const KEYS = 4000
/** One of each minor version. */
const binaries = serverBinaries().filter(
  (binary, index, all) => all.findIndex((other) => minorOf(other) === minorOf(binary)) === index,
)

function minorOf({ family, version }: ServerBinary): string {
  return `${family} ${version.split('.').slice(0, 2).join('.')}`
}

for (const binary of binaries) {
  test(`${binary.name}: the keys' median error is at most 3 %, and so is that of the sums`, async () => {
    const errors = await measureModel(binary, KEYS)
    expect(errors.keys).toBe(KEYS)
    expect(errors.groups.length).toBeGreaterThanOrEqual(10)
    // What few keys add cannot be told from what the server allocates for itself meanwhile.
    expect(Math.abs(errors.modelDatasetBytes / errors.datasetBytes - 1)).toBeLessThan(0.06)
    // Valkey 8.1 forgets the key, which it stores inside of the object.
    if (binary.family === 'valkey' && binary.version.startsWith('8.1')) return
    expect(errors.medianError).toBeLessThanOrEqual(0.03)
    expect(Math.abs(errors.modelBytes / errors.serverBytes - 1)).toBeLessThanOrEqual(0.03)
    for (const group of errors.groups) {
      if (group.keys >= 30)
        expect([group.name, group.medianError < 0.05]).toEqual([group.name, true])
    }
  }, 60_000)
}

test.skipIf(binaries.length > 0)('there are servers to compare with (skipped: none found)', () => {
  expect(binaries).toEqual([])
})
