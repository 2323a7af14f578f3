/**
 * The last answers, so that the page shows something without a network: numbers only, no lists and no people, of the person who is logged in,
 * until the session ends. Never with a key, whose holder is not known.
 */

import { ref } from 'vue'
import { config } from './api/client'

/** Of this page: another one at the same origin keeps its own. */
const SCOPE = new URL('.', document.baseURI)
const DATA = `mergeline-data ${SCOPE.pathname}`
/** What is kept: the first part of a question. */
const KEPT = new Set<unknown>(['me', 'teams', 'overview', 'summary', 'velocity', 'lead-time', 'change', 'forecast', 'dora', 'services', 'coverage', 'definitions'])
const WHO = 'who'

/** Whose answers are kept, what they may see of which database, and until when the answers may be shown. */
interface Owner {
  is: string
  until: string | null
}
interface Me {
  data: { name: string | null; scopes: string[]; teams: string[] | null; session_ends_at: string | null }
}

/** When the oldest of the answers on the screen was given, while they are shown without a network. */
export const keptSince = ref<number>()

/** Answers wait until it is known whose they are. */
let settle: (owner: string) => void
const isOwnerKnown = new Promise<string>((resolve) => (settle = resolve))

const mayKeep = (): boolean => config.value.login !== 'key' && 'caches' in window
const address = (about: unknown): string => new URL(`kept/${encodeURIComponent(JSON.stringify(about))}`, document.baseURI).href

async function read<T>(about: unknown): Promise<T | undefined> {
  // Opening what is not there would make it.
  const response = await caches.match(address(about), { cacheName: DATA })
  return response ? ((await response.json()) as T) : undefined
}
async function write(about: unknown, value: unknown): Promise<void> {
  await (await caches.open(DATA)).put(address(about), new Response(JSON.stringify(value)))
}

/** Deletes everything that is kept. */
export async function forget(): Promise<void> {
  keptSince.value = undefined
  if ('caches' in window) await caches.delete(DATA)
}

let isLeaving = false
/** Ends the session, and forgets what was kept; nothing that still arrives is kept. If that fails, everything stays as it was. */
export async function leaving(end: () => Promise<void>): Promise<void> {
  isLeaving = true
  try {
    await end()
    await forget()
  } catch (error) {
    isLeaving = false
    throw error
  }
}

/** Keeps an answer, if it is one of those, and it is known whose it is. */
export async function keep(about: unknown[], answer: unknown): Promise<void> {
  keptSince.value = undefined
  if (!mayKeep() || !KEPT.has(about[0])) return
  if (about[0] === 'me') {
    const { name, scopes, teams, session_ends_at } = (answer as Me).data
    const is = JSON.stringify([config.value.login, config.value.database, name, scopes, teams])
    if ((await read<Owner>(WHO))?.is !== is) await forget()
    if (isLeaving) return
    await write(WHO, { is, until: session_ends_at } satisfies Owner)
    settle(is)
  }
  const owner = await isOwnerKnown
  if (isLeaving || (await read<Owner>(WHO))?.is !== owner) return
  await write(about, { owner, at: Date.now(), answer })
}

const isOver = (owner: Owner | undefined): boolean => owner?.until != null && Date.parse(owner.until) <= Date.now()

/** Whether the session is over of the one whose answers are kept. */
export const isSessionOver = async (): Promise<boolean> => mayKeep() && isOver(await read<Owner>(WHO))

/** The last answer to a question, if it may still be shown. */
export async function recall(about: unknown[]): Promise<unknown> {
  if (!mayKeep() || !KEPT.has(about[0])) return undefined
  const owner = await read<Owner>(WHO)
  const isOfThis = owner?.is.startsWith(JSON.stringify([config.value.login, config.value.database]).slice(0, -1))
  if (!owner || isOver(owner) || !isOfThis) {
    if (owner) await forget()
    return undefined
  }
  const kept = await read<{ owner: string; at: number; answer: unknown }>(about)
  if (kept?.owner !== owner.is) return undefined
  keptSince.value = Math.min(keptSince.value ?? Infinity, kept.at)
  return kept.answer
}

/** Trusted types, where the browser has them. A script address made by a policy is used like text. */
interface Policies {
  createPolicy(name: string, rules: { createScriptURL: () => string }): { createScriptURL: (text: string) => string }
}
const policies = (): Policies | undefined => (window as { trustedTypes?: Policies }).trustedTypes

/** Has the browser keep the page itself, where its answers are kept too. */
export async function keepPage(): Promise<void> {
  if (!('serviceWorker' in navigator)) return
  if (!mayKeep()) {
    for (const registration of await navigator.serviceWorker.getRegistrations()) {
      if (registration.scope === SCOPE.href) await registration.unregister()
    }
    return forget()
  }
  // The only script address that this policy makes is the worker's own.
  const worker = policies()?.createPolicy('mergeline', { createScriptURL: () => 'sw.js' }).createScriptURL('') ?? 'sw.js'
  await navigator.serviceWorker.register(worker)
}
