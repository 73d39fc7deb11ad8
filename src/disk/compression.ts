/** gzip and zstd for what is written, as far as this Node has them; and what a name asks for. */
import type { Transform } from 'node:stream'
import zlib from 'node:zlib'
import { UsageError } from '../errors.js'

export interface Compression {
  algorithm: 'gzip' | 'zstd'
  /** gzip 1 to 9 (default 6), zstd 1 to 22 (default 3). */
  level?: number | undefined
}

const CHUNK_BYTES = 256 << 10

/** Throws UsageError where this Node has no zstd. */
export function createCompressor({ algorithm, level }: Compression): Transform {
  if (algorithm === 'gzip') {
    return zlib.createGzip({ chunkSize: CHUNK_BYTES, ...(level === undefined ? {} : { level }) })
  }
  const { createZstdCompress, constants } = zlib as {
    createZstdCompress?: (options: object) => Transform
    constants: { ZSTD_c_compressionLevel?: number }
  }
  const parameter = constants.ZSTD_c_compressionLevel
  if (createZstdCompress === undefined || parameter === undefined) {
    throw new UsageError('zstd needs Node 22.15 or newer', {
      hint: 'use gzip, or write to - and pipe that through zstd',
    })
  }
  return createZstdCompress({
    chunkSize: CHUNK_BYTES,
    ...(level === undefined ? {} : { params: { [parameter]: level } }),
  })
}

/** What is put behind a file's name. */
export function endingOf(compression: Compression | undefined): '' | '.gz' | '.zst' {
  if (compression === undefined) return ''
  return compression.algorithm === 'gzip' ? '.gz' : '.zst'
}

/**
 * What a file's name says about how it is packed: the compression of `.gz` and `.zst`, and the name
 * without that. Throws UsageError for the name of a packing that cannot be made here: nobody wants
 * other bytes under it.
 */
export function compressionOfName(name: string): {
  compression: Compression | undefined
  bareName: string
} {
  const other = /\.(bz2|xz|lz4|lzma|br|zip|7z|tgz|tar)$/i.exec(name)
  if (other !== null) {
    throw new UsageError(`a file named ${other[0]} cannot be written: only .gz and .zst can`, {
      hint: `write to - and pipe it to the program that makes ${other[0]}`,
    })
  }
  const found = /^(.*)\.(gz|zst|zstd)$/is.exec(name)
  if (found === null) return { compression: undefined, bareName: name }
  const algorithm = found[2]!.toLowerCase() === 'gz' ? 'gzip' : 'zstd'
  return { compression: { algorithm }, bareName: found[1]! }
}
