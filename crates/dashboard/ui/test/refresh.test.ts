import { QueryClient, VueQueryPlugin } from '@tanstack/vue-query'
import { createApp, h, ref, type App } from 'vue'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { usePullRequests, useRefresh, useSummary, useVelocity } from '../src/api/queries'
import { config, useKey } from '../src/api/client'
import { seen } from '../src/api/version'

const MINUTE = 60_000
/** What the fake server has, and what it was asked. */
let version = 'one'
let scopes = ['metrics:read', 'prs:read']
let asked: { path: string; known: string | null }[] = []
let app: App | undefined
let visibility: DocumentVisibilityState = 'visible'

async function answer(input: Request | string, init?: RequestInit): Promise<Response> {
  const request = input instanceof Request ? input : new Request(input, init)
  const path = new URL(request.url).pathname.replace(/^\/v1/, '')
  const known = new Headers(init?.headers ?? request.headers).get('if-none-match')
  asked.push({ path, known })
  if (path === '/me') return Response.json({ data: { name: null, scopes, teams: null, session_ends_at: null }, meta: {} })
  const etag = `W/"${path} ${version}"`
  if (known === etag) return new Response(null, { status: 304, headers: { etag } })
  return Response.json({ data: { version, pull_requests: [] }, meta: { next_cursor: null } }, { headers: { etag } })
}

/** A page that asks for one summary. */
function open(setup: () => void): void {
  const client = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity, retry: false, networkMode: 'always' } } })
  app = createApp({ setup: () => (setup(), () => h('p')) })
  app.use(VueQueryPlugin, { queryClient: client }).mount(document.createElement('div'))
}
const summaries = () => asked.filter((it) => it.path.endsWith('/summary') && it.known === null).length
const polls = () => asked.filter((it) => it.known !== null).length

beforeEach(() => {
  vi.useFakeTimers()
  vi.stubGlobal('fetch', vi.fn(answer))
  vi.spyOn(document, 'visibilityState', 'get').mockImplementation(() => visibility)
  config.value = { login: 'none', api: 'http://localhost/v1/', database: '' }
  ;[version, visibility, asked, scopes] = ['one', 'visible', [], ['metrics:read', 'prs:read']]
  useKey(null)
})
afterEach(() => {
  app?.unmount()
  vi.useRealTimers()
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

describe('whether the data changed', () => {
  const page = () => {
    useRefresh()
    useSummary('web', {})
  }

  it('is noticed at the first poll', async () => {
    open(page)
    await vi.advanceTimersByTimeAsync(MINUTE)
    expect(summaries()).toBe(1)
    version = 'two'
    await vi.advanceTimersByTimeAsync(5 * MINUTE)
    expect([polls(), summaries()]).toEqual([1, 2])
    // And then the new version is the one to compare with.
    await vi.advanceTimersByTimeAsync(5 * MINUTE)
    expect([polls(), summaries()]).toEqual([2, 2])
  })

  it('is asked with the version on the screen, and 304 asks nothing more', async () => {
    open(page)
    await vi.advanceTimersByTimeAsync(6 * MINUTE)
    expect(asked.at(-1)).toEqual({ path: '/metrics/team/web/summary', known: 'W/"/metrics/team/web/summary one"' })
    expect([polls(), summaries()]).toEqual([1, 1])
  })

  it('is not asked in a hidden tab, but as soon as it is looked at', async () => {
    open(page)
    await vi.advanceTimersByTimeAsync(MINUTE)
    visibility = 'hidden'
    version = 'two'
    await vi.advanceTimersByTimeAsync(60 * MINUTE)
    expect([polls(), summaries()]).toEqual([0, 1])
    visibility = 'visible'
    document.dispatchEvent(new Event('visibilitychange'))
    await vi.advanceTimersByTimeAsync(0)
    expect([polls(), summaries()]).toEqual([1, 2])
  })

  it('is asked for the answers to another key', async () => {
    open(page)
    await vi.advanceTimersByTimeAsync(0)
    useKey('mgl_other')
    expect(seen()).toBeUndefined()
    await vi.advanceTimersByTimeAsync(MINUTE)
    version = 'two'
    const before = summaries()
    await vi.advanceTimersByTimeAsync(5 * MINUTE)
    expect(summaries()).toBe(before + 1)
  })

  it('is asked with the oldest version, which a newer answer does not hide', async () => {
    const team = ref<string>()
    open(() => {
      page()
      useVelocity(team, {})
    })
    await vi.advanceTimersByTimeAsync(MINUTE)
    version = 'two'
    team.value = 'web'
    await vi.advanceTimersByTimeAsync(0)
    expect(asked.at(-1)?.path).toBe('/metrics/team/web/velocity')
    await vi.advanceTimersByTimeAsync(5 * MINUTE)
    expect(summaries()).toBe(2)
  })

  it('is noticed after the server was away, although nothing was answered', async () => {
    let isDown = true
    vi.stubGlobal('fetch', (input: Request | string, init?: RequestInit) => (isDown ? Promise.reject(new TypeError('down')) : answer(input, init)))
    open(page)
    await vi.advanceTimersByTimeAsync(5 * MINUTE)
    isDown = false
    await vi.advanceTimersByTimeAsync(5 * MINUTE)
    expect(asked.map((it) => it.path)).toEqual(['/metrics/summary', '/metrics/team/web/summary'])
  })
})

describe('single pull requests', () => {
  it('are not asked for without the permission', async () => {
    scopes = ['metrics:read']
    let pulls: ReturnType<typeof usePullRequests> | undefined
    open(() => (pulls = usePullRequests('web', {})))
    await vi.advanceTimersByTimeAsync(MINUTE)
    expect(asked.map((it) => it.path)).toEqual(['/me'])
    expect([pulls!.isRefused.value, pulls!.isPending.value, pulls!.error.value]).toEqual([true, false, null])
  })

  it('are asked for with it', async () => {
    let pulls: ReturnType<typeof usePullRequests> | undefined
    open(() => (pulls = usePullRequests('web', {})))
    await vi.advanceTimersByTimeAsync(MINUTE)
    expect(asked.map((it) => it.path)).toEqual(['/me', '/metrics/team/web/pull-requests'])
    expect([pulls!.isRefused.value, pulls!.isWhole.value]).toEqual([false, true])
  })
})
