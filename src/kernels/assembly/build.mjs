/**
 * Compiles the kernels in this directory to WebAssembly and embeds them, base64, into
 * src/kernels/kernel.generated.ts: what is published needs no compiler and reads no file at run time.
 * The same sources give the same bytes. `npm run build:kernels`.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import asc from 'assemblyscript/asc'

const directory = import.meta.dirname
const target = join(directory, '..', 'kernel.generated.ts')

let wasm
const { error, stderr } = await asc.main(
  [
    'index.ts',
    '--outFile',
    'kernel.wasm',
    '-O3',
    '--converge',
    '--noAssert',
    '--runtime',
    'stub',
    '--enable',
    'simd',
    '--importMemory',
    '--zeroFilledMemory',
    // Lets the optimizer fold small constants into the offsets of loads and stores.
    '--lowMemoryLimit',
    '--bindings',
    'raw',
  ],
  {
    readFile: (name, base) => {
      const path = join(base === '.' ? directory : base, name)
      return existsSync(path) ? readFileSync(path, 'utf8') : null
    },
    writeFile: (name, contents) => {
      if (name.endsWith('.wasm')) wasm = contents
    },
    listFiles: () => null,
  },
)
if (error !== null || wasm === undefined) {
  process.stderr.write(`${stderr.toString()}\n${String(error)}\n`)
  process.exitCode = 1
} else {
  const memory = new globalThis.WebAssembly.Memory({ initial: 64 })
  const { exports } = await globalThis.WebAssembly.instantiate(
    await globalThis.WebAssembly.compile(wasm),
    {
      env: { memory },
    },
  )
  const text = [
    '/** Made by src/kernels/assembly/build.mjs from the sources there. Do not edit. */',
    '/** What the kernels use of their memory, from its beginning, in bytes. */',
    `export const KERNEL_STATIC_BYTES = ${exports.init()}`,
    `export const KERNEL_WASM_BASE64 =\n  '${Buffer.from(wasm).toString('base64')}'`,
    '',
  ].join('\n')
  if (!existsSync(target) || readFileSync(target, 'utf8') !== text) writeFileSync(target, text)
}
