/**
 * Runs the bundle beside it, with the code that V8 has kept of it where that is of this Node;
 * otherwise the bundle is compiled as any script is. Exports what src/cli/bundle.ts does.
 */
'use strict'
const { readFileSync } = require('node:fs')
const { Script } = require('node:vm')
const { crc32 } = require('node:zlib')

const filename = `${__dirname}/run.js`
const source = readFileSync(filename)
const script = new Script(source.toString('latin1'), { filename, cachedData: keptCode() })
// What lies beside it is CommonJS: import() would look through all of it for its exports first.
const native = async (specifier) =>
  specifier.startsWith('./') ? { default: require(specifier) } : import(specifier)
script.runInThisContext()(exports, require, module, filename, __dirname, native)
/** What V8 would keep of it by now. */
module.exports.codeToKeep = () => script.createCachedData()
/** Whether it runs with what was kept. */
module.exports.hasKeptCode = script.cachedDataRejected === false

function keptCode() {
  // Of this command, or of those that have none of their own.
  for (const name of [process.argv[2], 'run']) {
    if (!/^[a-z]+$/.test(name)) continue
    try {
      const file = readFileSync(`${__dirname}/${name}.cache`)
      const code = file.subarray(0, -4)
      // Of a damaged one, or of another script of this length, V8 would run whatever stands there.
      if (file.readUInt32LE(code.length) === crc32(code, crc32(source))) return code
    } catch {
      // There is none, or next to nothing in it.
    }
  }
  return undefined
}
