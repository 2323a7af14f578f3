/** Asks what the first screen shows while the rest of the page is still on its way. */

import { teamPath, OVERVIEW, selectionOf, teamOf } from './selection'

/** Where the page learns how it is served. */
export interface Config {
  /** `none`: everybody who reaches the server may ask. `key`: a key is needed. `oidc`: people log in with a provider. */
  login: 'none' | 'key' | 'oidc'
  /** Where the API is, relative to the page. */
  api: string
  /** Which database it shows. */
  database: string
}

const KEY = 'mergeline.key'
/** The key, which is kept for as long as this tab is open. Never in an address or a log. */
export const storedKey = (): string | null => sessionStorage.getItem(KEY)

export function storeKey(text: string | null): void {
  // What was asked before was for another one.
  asked.clear()
  if (text === null) sessionStorage.removeItem(KEY)
  else sessionStorage.setItem(KEY, text)
}

/** The header that says who asks. */
export const headerOf = (key: string | null): Record<string, string> => (key === null ? {} : { 'x-api-key': key })

/** Answers are kept by the browser, and checked each time whether they are still valid. */
export const CHECKED: RequestInit = { cache: 'no-cache' }

const asked = new Map<string, Promise<Response>>()
/** What the page has asked itself: on a slow machine it may be first. */
const known = new Set<string>()
/** The answer to a question that was asked ahead, once. */
export function taken(address: string): Promise<Response> | undefined {
  const answer = asked.get(address)
  asked.delete(address)
  known.add(address)
  return answer
}
/** What nobody needed in time is asked again when it is needed. */
export function forgetAhead(): void {
  asked.clear()
  known.clear()
}

let served: Promise<Config> | undefined
/** How the page is served. */
export function loadConfig(): Promise<Config> {
  return (served ??= fetch('config.json').then((response) => {
    if (!response.ok) throw new Error('The page cannot read how it is served.')
    return response.json() as Promise<Config>
  }))
}

/** Asks. What fails is asked again by the page, which says what is wrong. */
export async function askAhead(): Promise<void> {
  const { login, api } = await loadConfig()
  const key = storedKey()
  if (login === 'key' && key === null) return
  const ask = (path: string, query: Record<string, string> = {}): Promise<Response> | undefined => {
    const parts = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    const address = new URL(`${api}${path}${parts.length > 0 ? `?${parts.join('&')}` : ''}`, document.baseURI).href
    if (known.has(address)) return undefined
    const answer = fetch(address, { ...CHECKED, headers: headerOf(key) })
    asked.set(address, answer)
    answer.catch(() => asked.delete(address))
    return answer
  }
  const teams = ask('teams')
  void ask('me')
  const [path, query] = location.hash.slice(1).split('?')
  if (path !== '' && path !== '/' && path !== '/overview') return
  const answer = await teams
  if (!answer?.ok) return
  const selection = selectionOf(Object.fromEntries(new URLSearchParams(query)))
  const team = teamOf((await answer.clone().json()).data, selection.team)
  if (team === undefined) return
  void ask(teamPath(team.slug, 'summary'), OVERVIEW.summary(selection))
  void ask(teamPath(team.slug, 'velocity'), OVERVIEW.velocity(selection))
}
