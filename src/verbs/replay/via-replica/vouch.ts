/**
 * Whether a dump is what its server wrote, by its checksum alone, before the first byte of it goes to a
 * target that loads from the line: such a one ends where it meets damage.
 */
import { Crc64 } from '../../../kernels/crc64.js'
import { allocateInputBuffer } from '../../../kernels/kernel.js'
import { hasPreamble } from '../../../source/dump-head.js'
import { isShardDirectory } from '../../../source/shards.js'
import { openInput } from '../../../source/source.js'
import { hasChecksum } from '../source-check.js'
import { statOf } from '../../../disk/stat.js'
import { pathOf, type Source } from '../../../source/classify.js'

const READ_BYTES = 4 << 20

/** False also where that cannot be seen: packed, cut, without a checksum, with commands behind it. */
export async function isVouched(source: Source, signal: AbortSignal | undefined): Promise<boolean> {
  if (source.kind !== 'file') return false
  const path = pathOf(source)
  if (isShardDirectory(path) || statOf(path)?.isFile() !== true) return false
  const input = await openInput(path, { signal })
  try {
    const isPlain = input.compression === 'none' && input.sizeBytes !== undefined
    if (!isPlain || hasPreamble(input.head) || !hasChecksum(input)) return false
    const sum = new Crc64()
    await input.pump(
      (chunk) => {
        sum.update(chunk)
        return undefined
      },
      { signal, buffer: allocateInputBuffer(READ_BYTES) },
    )
    // Over the dump and its own checksum.
    return sum.isZero
  } finally {
    input.close()
  }
}
