/** The questions that screens ask, and when they are asked again. */

import { useInfiniteQuery, useQuery, useQueryClient, type UseQueryReturnType } from '@tanstack/vue-query'
import { computed, onBeforeUnmount, onMounted, ref, toValue, watch, type MaybeRefOrGetter, type Ref } from 'vue'
import { isSessionOver, keep, recall } from '../offline'
import { access, api, apiAddress, config, key, keyHeader, ApiFailure, type Schemas } from './client'
import { forgetSeen, see, seen } from './version'

const MINUTE = 60_000
/** How often the page asks whether anything changed, while it is visible. */
const REFRESH = 5 * MINUTE
/** More rows are sorted by the API. */
export const MOST_ROWS = 10_000
/** More deployments or incidents are not drawn. */
export const MOST_EVENTS = 5_000

export type Query = Record<string, string>
type Client = ReturnType<typeof api>
/** Some answers exist as tables, too, which are text. */
type Json<T> = Exclude<T, string>

const mayAsk = () => config.value.login !== 'key' || key.value !== null

type Ask<T> = (client: Client, signal: AbortSignal) => Promise<{ data?: T }>

/** Asks. Errors are thrown by the client, so there is data. Without a network, what was kept is the answer. */
const answerTo =
  <T>(about: () => unknown[], ask: Ask<T>) =>
  async ({ signal }: { signal: AbortSignal }): Promise<Json<T>> => {
    const asked = about()
    try {
      const answer = (await ask(api(), signal)).data as Json<T>
      void keep(asked, answer)
      return answer
    } catch (error) {
      const kept = error instanceof ApiFailure && error.code === 'offline' ? await recall(asked) : undefined
      if (kept === undefined) throw error
      return kept as Json<T>
    }
  }

function useAnswer<T>(about: () => unknown[], ask: Ask<T>, isWanted: () => boolean = () => true): UseQueryReturnType<Json<T>, ApiFailure> {
  return useQuery<Json<T>, ApiFailure>({
    queryKey: computed(() => [...about(), key.value]),
    queryFn: answerTo(about, ask),
    enabled: computed(() => mayAsk() && isWanted()),
    // The old answer stays while other days are read, but never as that of another team or service, or for another key.
    placeholderData: (before, query) => (isAboutSame(query?.queryKey, [...about(), key.value]) ? before : undefined) as never,
  })
}

/** Whether two questions differ in their filters only, which are the last part but one. The key is the last. */
function isAboutSame(one: readonly unknown[] | undefined, other: unknown[]): boolean {
  const subject = (of: readonly unknown[] = []) => JSON.stringify([of.slice(0, -2), of.at(-1)])
  return subject(one) === subject(other)
}

type Given<T> = MaybeRefOrGetter<T>
const query = (given: Given<Query>) => toValue(given) as never

export const useMe = () => useAnswer(() => ['me'], (client, signal) => client.GET('/v1/me', { signal }))
export const useTeams = () => useAnswer(() => ['teams'], (client, signal) => client.GET('/v1/teams', { signal }))

/** What the one who asks may see. Not known while that is asked; if it cannot be asked, answers say it. */
export function useRights() {
  const me = useMe()
  const may = (isAllowed: (me: Schemas['Me']) => boolean) =>
    computed(() => (me.data.value ? isAllowed(me.data.value.data) : me.isError.value || undefined))
  return {
    /** Single pull requests, with their titles and authors. */
    mayList: may((it) => it.scopes.includes('prs:read')),
    /** What belongs to no team. */
    maySeeAll: may((it) => it.teams === null),
  }
}

export const useDefinitions = () => useAnswer(() => ['definitions'], (client, signal) => client.GET('/v1/definitions', { signal }))
export const useBenchmarks = (isWanted: () => boolean) => useAnswer(() => ['benchmarks'], (client, signal) => client.GET('/v1/benchmarks', { signal }), isWanted)
export const useServices = () => useAnswer(() => ['services'], (client, signal) => client.GET('/v1/services', { signal }))
export const useServiceStates = (filters: Given<Query>) =>
  useAnswer(
    () => ['state', toValue(filters)],
    (client, signal) => client.GET('/v1/state', { params: { query: query(filters) }, signal }),
  )

export const useOverview = (filters: Given<Query>, isWanted?: () => boolean) =>
  useAnswer(
    () => ['overview', toValue(filters)],
    (client, signal) => client.GET('/v1/metrics/summary', { params: { query: query(filters) }, signal }),
    isWanted,
  )

const ofTeam = (team: Given<string | undefined>, filters: Given<Query>) => ({
  params: { path: { team_id: toValue(team) ?? '' }, query: query(filters) },
})
const isNamed = (team: Given<string | undefined>) => () => toValue(team) !== undefined

export const useSummary = (team: Given<string | undefined>, filters: Given<Query>) =>
  useAnswer(
    () => ['summary', toValue(team), toValue(filters)],
    (client, signal) => client.GET('/v1/metrics/team/{team_id}/summary', { ...ofTeam(team, filters), signal }),
    isNamed(team),
  )

export const useVelocity = (team: Given<string | undefined>, filters: Given<Query>) =>
  useAnswer(
    () => ['velocity', toValue(team), toValue(filters)],
    (client, signal) => client.GET('/v1/metrics/team/{team_id}/velocity', { ...ofTeam(team, filters), signal }),
    isNamed(team),
  )

export const useLeadTime = (team: Given<string | undefined>, filters: Given<Query>, isWanted = () => true) =>
  useAnswer(
    () => ['lead-time', toValue(team), toValue(filters)],
    (client, signal) => client.GET('/v1/metrics/team/{team_id}/lead-time', { ...ofTeam(team, filters), signal }),
    () => isNamed(team)() && isWanted(),
  )

export const useChange = (team: Given<string | undefined>, filters: Given<Query>) =>
  useAnswer(
    () => ['change', toValue(team), toValue(filters)],
    (client, signal) => client.GET('/v1/metrics/team/{team_id}/change', { ...ofTeam(team, filters), signal }),
    isNamed(team),
  )

export const useForecast = (team: Given<string | undefined>, filters: Given<Query>) =>
  useAnswer(
    () => ['forecast', toValue(team), toValue(filters)],
    (client, signal) => client.GET('/v1/metrics/team/{team_id}/forecast', { ...ofTeam(team, filters), signal }),
    isNamed(team),
  )

export const useTime = (team: Given<string | undefined>, filters: Given<Query>) =>
  useAnswer(
    () => ['time', toValue(team), toValue(filters)],
    (client, signal) => client.GET('/v1/metrics/team/{team_id}/time', { ...ofTeam(team, filters), signal }),
    isNamed(team),
  )

/** The metrics that the teams file defines. */
export const useCustom = (team: Given<string | undefined>, filters: Given<Query>) =>
  useAnswer(
    () => ['custom', toValue(team), toValue(filters)],
    (client, signal) => client.GET('/v1/metrics/team/{team_id}/custom', { ...ofTeam(team, filters), signal }),
    isNamed(team),
  )

export const useReviews = (team: Given<string | undefined>, filters: Given<Query>) =>
  useAnswer(
    () => ['reviews', toValue(team), toValue(filters)],
    (client, signal) => client.GET('/v1/metrics/team/{team_id}/reviews', { ...ofTeam(team, filters), signal }),
    isNamed(team),
  )

export const useGoals = (team: Given<string | undefined>) =>
  useAnswer(
    () => ['goals', toValue(team)],
    (client, signal) => client.GET('/v1/teams/{team_id}/goals', { ...ofTeam(team, {}), signal }),
    isNamed(team),
  )

/** DORA's metrics of a service, a team, or all. */
export const useDora = (service: Given<string | undefined>, team: Given<string | undefined>, filters: Given<Query>, isWanted?: () => boolean) =>
  useAnswer(
    () => ['dora', toValue(service), toValue(team), toValue(filters)],
    (client, signal) => {
      const [ofService, ofTeam] = [toValue(service), toValue(team)]
      const params = { query: query(filters) }
      if (ofService !== undefined) {
        return client.GET('/v1/metrics/service/{service}/dora', { params: { ...params, path: { service: ofService } }, signal })
      }
      if (ofTeam !== undefined) {
        return client.GET('/v1/metrics/team/{team_id}/dora', { params: { ...params, path: { team_id: ofTeam } }, signal })
      }
      return client.GET('/v1/metrics/dora', { params, signal })
    },
    isWanted,
  )

interface Page {
  data: unknown[]
  meta: { next_cursor: string | null }
}
/** All pages of a list as one answer, up to a limit: where it is cut, the cursor of the next page is left. */
export async function wholeList<T extends Page>(ask: (page: Query) => Promise<{ data?: T | string }>, most = MOST_EVENTS): Promise<{ data: T }> {
  let whole: T | undefined
  let cursor: string | null = null
  do {
    const page = (await ask({ limit: '1000', ...(cursor === null ? {} : { cursor }) })).data as T
    whole = whole === undefined ? page : { ...page, data: [...whole.data, ...page.data] }
    cursor = page.meta.next_cursor
  } while (cursor !== null && whole.data.length < most)
  return { data: whole }
}

export const useDeployments = (filters: Given<Query>) =>
  useAnswer(
    () => ['deployments', toValue(filters)],
    (client, signal) => wholeList((page) => client.GET('/v1/deployments', { params: { query: { ...toValue(filters), ...page } as never }, signal })),
  )

export const useIncidents = (filters: Given<Query>) =>
  useAnswer(
    () => ['incidents', toValue(filters)],
    (client, signal) => wholeList((page) => client.GET('/v1/incidents', { params: { query: { ...toValue(filters), ...page } as never }, signal })),
  )

/** What is merged and waits for production, whenever it was merged. Nothing is asked that would be refused. */
export function useWaiting(filters: Given<Query>, isWanted: () => boolean = () => true) {
  const { mayList } = useRights()
  const answer = useAnswer(
    () => ['waiting', toValue(filters)],
    (client, signal) => client.GET('/v1/waiting', { params: { query: query(filters) }, signal }),
    () => mayList.value === true && isWanted(),
  )
  return { ...answer, isRefused: computed(() => mayList.value === false), isPending: computed(() => answer.isPending.value && mayList.value !== false && isWanted()) }
}

/** Of all teams and of none. */
export const useOrganization = (filters: Given<Query>, isWanted: () => boolean) =>
  useAnswer(
    () => ['organization', toValue(filters)],
    (client, signal) => client.GET('/v1/metrics/organization/velocity', { params: { query: query(filters) }, signal }),
    isWanted,
  )

export const useCoverage = () => useAnswer(() => ['coverage'], (client, signal) => client.GET('/v1/coverage', { signal }))

/** The pull requests of a team, a page at a time, all of them up to a limit. Nothing is asked that would be refused. */
export function usePullRequests(team: Given<string | undefined>, filters: Given<Query>) {
  const { mayList } = useRights()
  const pages = useInfiniteQuery({
    queryKey: computed(() => ['pull-requests', toValue(team), toValue(filters), key.value]),
    initialPageParam: '',
    queryFn: async ({ signal, pageParam }) => {
      const given = { ...toValue(filters), limit: '1000', ...(pageParam === '' ? {} : { cursor: pageParam }) }
      const answer = await api().GET('/v1/metrics/team/{team_id}/pull-requests', { ...ofTeam(team, given), signal })
      return answer.data as Json<NonNullable<typeof answer.data>>
    },
    getNextPageParam: (last, all) => (all.length * 1000 < MOST_ROWS ? (last.meta.next_cursor ?? undefined) : undefined),
    enabled: computed(() => mayAsk() && mayList.value === true && toValue(team) !== undefined),
  })
  // The next page follows by itself: what was clicked adds up only once all are there.
  watch(
    () => [pages.data.value?.pages.length, pages.hasNextPage.value],
    () => {
      if (pages.hasNextPage.value && !pages.isFetchingNextPage.value) void pages.fetchNextPage()
    },
  )
  const rows = computed(() => pages.data.value?.pages.flatMap((page) => page.data.pull_requests) ?? [])
  const meta = computed(() => pages.data.value?.pages.at(-1)?.meta)
  const isWhole = computed(() => pages.isSuccess.value && !pages.hasNextPage.value && meta.value?.next_cursor == null)
  const isRefused = computed(() => mayList.value === false)
  const isPending = computed(() => pages.isPending.value && !isRefused.value)
  return { ...pages, rows, meta, isWhole, isRefused, isPending }
}

/**
 * Asks every five minutes, and when the tab is looked at again, whether the server has other data than the screen, and if so, everything
 * again.
 */
export function useRefresh(): { now: Ref<number> } {
  const client = useQueryClient()
  const now = ref(Date.now())
  let last = Date.now()
  async function ask(): Promise<void> {
    now.value = Date.now()
    if (access.value === 'given' && (await isSessionOver())) {
      // Also without a network, which would say so.
      access.value = 'over'
      return
    }
    if (document.visibilityState !== 'visible' || now.value - last < REFRESH || !mayAsk()) return
    last = now.value
    const shown = seen()
    const address = shown?.address ?? `${apiAddress()}metrics/summary`
    try {
      const headers = { ...keyHeader(), ...(shown === undefined ? {} : { 'if-none-match': shown.etag }) }
      const response = await fetch(address, { headers, cache: 'no-store' })
      // Not now; and what changed meanwhile, such as the key, needs no answer.
      if (response.status === 304 || response.status === 429 || response.status >= 500 || seen() !== shown) return
      // Also what is refused is asked again, and says itself why.
      forgetSeen()
      // Without any answer that has a version, the next question needs one to compare with.
      if (shown === undefined && response.ok) see(address, response.headers.get('etag'))
      await client.invalidateQueries()
    } catch {
      // Answers say themselves that the server cannot be reached.
    }
  }
  const timer = setInterval(() => void ask(), MINUTE)
  onMounted(() => document.addEventListener('visibilitychange', ask))
  onBeforeUnmount(() => {
    clearInterval(timer)
    document.removeEventListener('visibilitychange', ask)
  })
  return { now }
}
