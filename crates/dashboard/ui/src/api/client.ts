/** Questions to the API: their address, the key, and errors as people can use them. */

import createClient from 'openapi-fetch'
import { ref } from 'vue'
import type { components, paths } from './schema'
import { forgetSeen, see } from './version'

export type Schemas = components['schemas']

/** Where the page learns how it is served. */
export interface Config {
  /** `none`: everybody who reaches the server may ask. `key`: a key is needed. `oidc`: people log in with a provider. */
  login: 'none' | 'key' | 'oidc'
  /** Where the API is, relative to the page. */
  api: string
  /** Which database it shows. */
  database: string
}

/** An answer that is no data. */
export class ApiFailure extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly traceId: string | undefined,
  ) {
    super(message)
  }
}

const KEY = 'mergeline.key'
/** The key, for as long as this tab is open. Never in an address or a log. */
export const key = ref<string | null>(sessionStorage.getItem(KEY))

export function useKey(text: string | null): void {
  key.value = text
  // What was answered before was for another one.
  forgetSeen()
  if (text === null) sessionStorage.removeItem(KEY)
  else sessionStorage.setItem(KEY, text)
}

/** With a provider: whether somebody is logged in, must log in, must do so again since the session is over, or may see nothing. */
export const access = ref<'given' | 'login' | 'over' | 'none'>('given')
/** Whether the page had an answer since it was opened: then a missing session is one that ended. */
let wasAnswered = false

export const config = ref<Config>({ login: 'none', api: '../', database: '' })

/** Reads how the page is served. */
export async function loadConfig(): Promise<void> {
  const response = await fetch('config.json')
  if (!response.ok) throw new ApiFailure(response.status, 'no_config', 'The page cannot read how it is served.', undefined)
  config.value = (await response.json()) as Config
}

/** The address of the API, ending in a slash. */
export const apiAddress = (): string => new URL(config.value.api, document.baseURI).href

/** The header that says who asks. */
export const keyHeader = (): Record<string, string> => (key.value === null ? {} : { 'x-api-key': key.value })

async function send(request: Request): Promise<Response> {
  for (const [name, value] of Object.entries(keyHeader())) request.headers.set(name, value)
  let response: Response
  try {
    // Answers are kept by the browser, and checked each time whether they are still valid.
    response = await fetch(request, { cache: 'no-cache' })
  } catch {
    throw new ApiFailure(0, 'offline', 'The server cannot be reached.', undefined)
  }
  if (response.ok) {
    wasAnswered = true
    see(request.url, response.headers.get('etag'))
    return response
  }
  let body: { error?: { code?: string; message?: string; trace_id?: string; details?: { parameter?: string; message?: string }[] } } = {}
  try {
    body = await response.json()
  } catch {
    // The gateway's own pages are no JSON.
  }
  const { code = `http_${response.status}`, message = 'The server gave no answer that this page understands.', trace_id, details = [] } = body.error ?? {}
  if (config.value.login === 'oidc') {
    if (response.status === 401) access.value = wasAnswered ? 'over' : 'login'
    if (code === 'no_access') access.value = 'none'
  }
  const reasons = details.map((it) => `${it.parameter}: ${it.message}`).join('; ')
  throw new ApiFailure(response.status, code, reasons === '' ? message : reasons, trace_id)
}

/** Ends the session of somebody who logged in. */
export async function logOut(): Promise<void> {
  const response = await fetch('logout', { method: 'POST' })
  if (!response.ok) throw new ApiFailure(response.status, 'logout_failed', 'The server did not end the session.', undefined)
}

/** Where somebody logs in, and comes back to what is shown now. */
export const loginAddress = (hash: string): string => `login?${new URLSearchParams({ to: hash })}`

/** A client whose types are those of the API's own description. */
export function api() {
  const baseUrl = apiAddress().replace(/\/$/, '')
  // The paths of the description begin with /v1, which the address of the API stands for.
  const fetch = (request: Request): Promise<Response> => send(new Request(request.url.replace(`${baseUrl}/v1/`, `${baseUrl}/`), request))
  return createClient<paths>({ baseUrl, fetch })
}

/** The address of a table with the same rows as an answer. */
export function tableAddress(path: string, query: Record<string, string>): string {
  return `${apiAddress()}${path}?${new URLSearchParams({ ...query, format: 'csv' })}`
}

/** All pages of a table, as one file. */
export async function wholeTable(path: string, query: Record<string, string>): Promise<Blob> {
  const parts: string[] = []
  let cursor: string | null = null
  do {
    const address = tableAddress(path, { ...query, limit: '1000', ...(cursor === null ? {} : { cursor }) })
    const response = await send(new Request(address))
    const text = await response.text()
    // The names of the columns are in each page.
    parts.push(parts.length === 0 ? text : text.slice(text.indexOf('\n') + 1))
    cursor = response.headers.get('mergeline-next-cursor')
  } while (cursor !== null)
  return new Blob(parts, { type: 'text/csv' })
}
