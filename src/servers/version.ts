/**
 * Versions of servers as numbers that compare: major * 10,000 + minor * 100 + patch.
 *
 * Release candidates count as what they are candidates of: 7.0-rc1 calls itself 6.9.240, 7.4-rc1
 * 7.3.240. Builds of a development branch (255.255.255, 999.999.999) have no version.
 */

/** Whose line of versions: Redis and what calls itself so, or Valkey. */
export type ServerFamily = 'redis' | 'valkey'

const FIRST_CANDIDATE_PATCH = 100
const NO_REAL_MAJOR = 99

/** 255.255.255 and the like. */
export function isDevelopmentVersion(text: string): boolean {
  const major = /^v?(\d+)\./.exec(text.trim())?.[1]
  return major !== undefined && Number(major) >= NO_REAL_MAJOR
}

/** `7.0.15` → 70015; undefined for what is no version, or none of a release. */
export function serverVersionNumber(text: string): number | undefined {
  const found = /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?/.exec(text.trim())
  if (found === null) return undefined
  let [major, minor, patch] = [found[1], found[2], found[3]].map((part) => Number(part ?? 0)) as [
    number,
    number,
    number,
  ]
  if (major >= NO_REAL_MAJOR) return undefined
  if (patch >= FIRST_CANDIDATE_PATCH) {
    patch = 0
    minor += 1
    if (minor === 10) {
      minor = 0
      major += 1
    }
  }
  return major * 10_000 + Math.min(minor, 99) * 100 + patch
}
