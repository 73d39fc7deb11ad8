/** Which module brings a type of values: a dump names the type, MODULE LIST the module. A server ends
 * at a type that it does not have, so what is not known here counts as missing. */

/** Where the two names differ, by type. */
const MODULES_OF_TYPE: Readonly<Record<string, readonly string[]>> = {
  'ReJSON-RL': ['ReJSON', 'json'],
  'MBbloom--': ['bf'],
  MBbloomCF: ['bf'],
  'CMSk-TYPE': ['bf'],
  'TopK-TYPE': ['bf'],
  'TDIS-TYPE': ['bf'],
  'TSDB-TYPE': ['timeseries'],
}

/** Vector sets of Redis 8, the script engine of Valkey 9: parts of the server, without types of others. */
const BUILT_IN: readonly string[] = ['vectorset', 'lua']

export function isBuiltIn(moduleName: string): boolean {
  return BUILT_IN.includes(moduleName)
}

export function providesType(moduleName: string, type: string): boolean {
  return moduleName === type || MODULES_OF_TYPE[type]?.includes(moduleName) === true
}
