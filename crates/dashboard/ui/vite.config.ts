import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import vue from '@vitejs/plugin-vue'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

/** The first script asks for numbers, and then needs the page: the browser learns of it from the document, not from the script. */
const preloadPage: Plugin = {
  name: 'preload-page',
  transformIndexHtml: {
    order: 'post',
    handler: (_, { bundle = {} }) => {
      const chunks = Object.values(bundle).filter((it) => it.type === 'chunk')
      const page = chunks.find((it) => it.facadeModuleId?.endsWith('/src/app.ts'))
      const known = chunks.filter((it) => it.isEntry).map((it) => it.fileName)
      const files = page ? [page.fileName, ...page.imports.filter((it) => !known.includes(it))] : []
      return files.map((file) => ({ tag: 'link', attrs: { rel: 'modulepreload', crossorigin: true, href: `./${file}` }, injectTo: 'head' }))
    },
  },
}

interface Schema {
  enum?: string[]
  pattern?: string
  type?: string
  items?: Schema
  $ref?: string
  properties?: Record<string, Schema>
  propertyNames?: { enum: string[] }
  const?: string
  allOf?: { if: Schema; then: Schema }[]
}
const { $defs } = JSON.parse(readFileSync(fileURLToPath(new URL('../../../docs/teams.schema.json', import.meta.url)), 'utf8')) as { $defs: Record<string, Schema> }

/** What a metric of the teams file may be made of. */
function metricChoices() {
  const { id, basis, statistic, by } = $defs.Metric!.properties!
  const { not: _, ...fields } = $defs.MetricWhen!.properties!
  const kind = (name: string, { type, $ref = '' }: Schema) => {
    if (name === 'state') return 'state'
    if (type === 'boolean') return 'flag'
    if (type === 'array') return 'texts'
    return $ref.endsWith('/TimeRange') ? 'time' : 'size'
  }
  return {
    id: id!.pattern,
    time: $defs.TimeRange!.properties!.at_least!.pattern,
    // Of each thing what it may be asked.
    of: Object.fromEntries(
      $defs.Metric!.allOf!.map((it) => {
        const { when, measure, basis: no } = it.then.properties!
        return [it.if.properties!.of!.const, { fields: when!.propertyNames!.enum.filter((name) => name !== 'not'), states: when!.properties!.state!.items!.enum, measures: measure!.enum, hasBasis: no === undefined }]
      }),
    ),
    statistic: statistic!.enum,
    basis: basis!.enum,
    by: by!.enum,
    fields: Object.fromEntries(Object.entries(fields).map(([name, schema]) => [name, kind(name, schema)])),
  }
}

export default defineConfig({
  // One build for every address: the laptop, a gateway's stage, and a domain with a base path.
  base: './',
  plugins: [vue({ template: { compilerOptions: { hoistStatic: false } } }), preloadPage],
  resolve: {
    alias: {
      'd3-interpolate': fileURLToPath(new URL('./src/charts/interpolate.ts', import.meta.url)),
      'd3-format': fileURLToPath(new URL('./src/charts/numbers.ts', import.meta.url)),
    },
  },
  // Parts of Vue that this page has no use for.
  define: { __VUE_OPTIONS_API__: 'false', __VUE_PROD_DEVTOOLS__: 'false', __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: 'false', METRIC_CHOICES: JSON.stringify(metricChoices()) },
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
