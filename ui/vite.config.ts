import { defineConfig } from 'vitest/config';

// Where `npm run dev` finds a mesh: `tulle up` serves its telemetry there.
const mesh = process.env.TULLE_DASHBOARD ?? 'http://127.0.0.1:20001';

export default defineConfig({
  // Every address is relative: the dashboard works below any path of a proxy.
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: 'build',
    target: 'es2023',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 400,
  },
  server: { proxy: { '/api': mesh } },
  test: { include: ['test/**/*.test.ts'] },
});
