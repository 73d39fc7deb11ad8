/** Valkey's compressed envelope, made by hand: no server at hand writes it. */
import { xxHash32 } from '../../src/rdb/io/xxhash32.js'

/** Version 1, LZ4, an RDB. */
export const VCS = Buffer.from([0x56, 0x43, 0x53, 1, 1, 0, 1])

/** A frame that stores its content plainly: 64 KB blocks, no checksums but the header's. */
export function plainFrame(bytes: Buffer): Buffer {
  const descriptor = Buffer.from([0x60, 0x40])
  const parts: Buffer[] = [
    Buffer.from('04224d18', 'hex'),
    descriptor,
    Buffer.of((xxHash32(descriptor) >>> 8) & 0xff),
  ]
  for (let at = 0; at < bytes.length; at += 65536) {
    const block = bytes.subarray(at, at + 65536)
    const size = Buffer.alloc(4)
    size.writeUInt32LE((block.length | 0x80000000) >>> 0)
    parts.push(size, block)
  }
  return Buffer.concat([...parts, Buffer.alloc(4)])
}
