/** Questions to the API: their address, the key, and errors as people can use them. */

import createClient from 'openapi-fetch'
import { ref } from 'vue'
import { CHECKED, headerOf, storedKey, storeKey, taken, type Config } from '../ahead'
import type { components, paths } from './schema'
import { forgetSeen, see } from './version'

export type Schemas = components['schemas']

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

/** The key, for as long as this tab is open. */
export const key = ref<string | null>(storedKey())

export function useKey(text: string | null): void {
  key.value = text
  // What was answered before was for another one.
  forgetSeen()
  storeKey(text)
}

/** With a provider: whether somebody is logged in, must log in, must do so again since the session is over, or may see nothing. */
export const access = ref<'given' | 'login' | 'over' | 'none'>('given')
/** Whether the page had an answer since it was opened: then a missing session is one that ended. */
let wasAnswered = false

export const config = ref<Config>({ login: 'none', api: '../', database: '' })

/** The address of the API, ending in a slash. */
export const apiAddress = (): string => new URL(config.value.api, document.baseURI).href

/** The header that says who asks. */
export const keyHeader = (): Record<string, string> => headerOf(key.value)

/** Answers of a session, which the browser may not keep: the server says whether they are still valid. */
const answers = new Map<string, { etag: string; response: Response }>()

async function send(request: Request): Promise<Response> {
  for (const [name, value] of Object.entries(keyHeader())) request.headers.set(name, value)
  const known = config.value.login === 'oidc' ? answers.get(request.url) : undefined
  if (known) request.headers.set('if-none-match', known.etag)
  let response: Response
  try {
    response = await (taken(request.url) ?? fetch(request, CHECKED))
  } catch {
    throw new ApiFailure(0, 'offline', 'The server cannot be reached.', undefined)
  }
  if (known && response.status === 304) response = known.response.clone()
  if (response.ok) {
    wasAnswered = true
    const etag = response.headers.get('etag')
    see(request.url, etag)
    if (config.value.login === 'oidc' && etag !== null) answers.set(request.url, { etag, response: response.clone() })
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

/** A table as one file; of a list, all pages. */
export async function wholeTable(path: string, query: Record<string, string>, isList = false): Promise<Blob> {
  const parts: string[] = []
  let cursor: string | null = null
  do {
    const address = tableAddress(path, { ...query, ...(isList ? { limit: '1000' } : {}), ...(cursor === null ? {} : { cursor }) })
    const response = await send(new Request(address))
    const text = await response.text()
    // The names of the columns are in each page.
    parts.push(parts.length === 0 ? text : text.slice(text.indexOf('\n') + 1))
    cursor = response.headers.get('mergeline-next-cursor')
  } while (cursor !== null)
  return new Blob(parts, { type: 'text/csv' })
}
