import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two cores: more workers only make servers and tests wait for one another.
    maxWorkers: 2,
    pool: 'forks',
    // Two cores carry both the tests and dozens of real servers: in CI a test that lost a race
    // for the processor gets another chance, and the report says which one needed it.
    retry: process.env['CI'] === undefined ? 0 : 2,
  },
})
