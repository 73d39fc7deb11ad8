import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Those that wait for servers first, so that none of them is left alone at the end. */
class ServersFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const rank = ({ moduleId }: TestSpecification): number =>
      moduleId.includes('/test/integration/') ? 0 : 1
    return sorted.sort((a, b) => rank(a) - rank(b))
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Of the SDK, about a Node that it will leave one day.
    env: { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Most tests wait for servers, retries and seconds that pass: four at a time leave a third of two
    // cores idle.
    maxWorkers: 5,
    sequence: { sequencer: ServersFirst },
    pool: 'forks',
  },
})
