import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two cores: more workers only make servers and tests wait for one another.
    maxWorkers: 2,
    pool: 'forks',
  },
})
