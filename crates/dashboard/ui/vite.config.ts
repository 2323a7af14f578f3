import { fileURLToPath } from 'node:url'
import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  // One build for every address: the laptop, a gateway's stage, and a domain with a base path.
  base: './',
  plugins: [vue()],
  resolve: {
    alias: {
      'd3-interpolate': fileURLToPath(new URL('./src/charts/interpolate.ts', import.meta.url)),
      'd3-format': fileURLToPath(new URL('./src/charts/numbers.ts', import.meta.url)),
    },
  },
  // Parts of Vue that this page has no use for.
  define: { __VUE_OPTIONS_API__: 'false', __VUE_PROD_DEVTOOLS__: 'false', __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: 'false' },
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    // What the page consists of, for the worker that keeps it.
    manifest: 'files.json',
    target: 'es2022',
    // Inlined files would need `data:` in the content policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  test: { environment: 'happy-dom', include: ['test/**/*.test.ts'] },
})
