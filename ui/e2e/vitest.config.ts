import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The mesh first: it mostly waits, for a minute of load to have passed, and the pages are looked at meanwhile. */
class MeshFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => (moduleId.includes('live.test') ? 0 : 1);
    return files.toSorted((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  root: new URL('..', import.meta.url).pathname,
  test: {
    include: ['e2e/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // One for the mesh, one for the pages.
    maxWorkers: 2,
    sequence: { sequencer: MeshFirst },
  },
});
