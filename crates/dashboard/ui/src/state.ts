/** What is shown is in the address, and nowhere else: Back works, and a copied address shows the same. */

import { computed, type ComputedRef } from 'vue'
import { useRoute, useRouter, type LocationQueryRaw } from 'vue-router'

/** The parts of an address that are passed to the API as they are. */
export const FILTERS = ['last', 'from', 'to', 'week', 'interval', 'repo', 'base', 'weighting', 'tz'] as const
export type FilterName = (typeof FILTERS)[number]
/** All parts of an address. */
export const PARTS = [...FILTERS, 'team', 'service', 'basis', 'environment', 'edition', 'failures', 'sort', 'with', 'state', 'missing', 'compare'] as const
export type Part = (typeof PARTS)[number]
export type Selection = Partial<Record<Part, string>>

/** The selection of a query, without parts that are empty or written twice. */
export function selectionOf(query: Record<string, unknown>): Selection {
  const selection: Selection = {}
  for (const part of PARTS) {
    const value = query[part]
    if (typeof value === 'string' && value !== '') selection[part] = value
  }
  return selection
}

/** The selection with changes; `undefined` takes a part out. A range replaces another one whole. */
export function changed(selection: Selection, changes: Selection): Selection {
  const next: Selection = { ...selection, ...changes }
  for (const part of PARTS) if (next[part] === undefined || next[part] === '') delete next[part]
  return next
}

/** The parts that say which days are shown. */
export const NO_RANGE: Selection = { last: undefined, from: undefined, to: undefined, week: undefined }

/** What a question about a team's pull requests takes. */
export function filtersOf(selection: Selection, ...left: FilterName[]): Record<string, string> {
  const filters: Record<string, string> = {}
  for (const name of FILTERS) {
    const value = selection[name]
    if (value !== undefined && !left.includes(name)) filters[name] = value
  }
  return filters
}

export type Address = { path: string; query: LocationQueryRaw }

export interface SelectionState {
  selection: ComputedRef<Selection>
  /** Changes the address. */
  change: (changes: Selection) => void
  /** The address of a screen with the same selection, and changes. */
  to: (screen: string, changes?: Selection) => Address
  /** The address of the list of what was merged in some days; with a reason, only what is not in production for that. */
  merged: (days: { from: string; to: string }, missing?: string) => Address
}

export function useSelection(): SelectionState {
  const route = useRoute()
  const router = useRouter()
  const selection = computed(() => selectionOf(route.query))
  const to = (screen: string, changes: Selection = {}): Address => ({ path: `/${screen}`, query: changed(selection.value, changes) })
  return {
    selection,
    change: (changes) => void router.push({ path: route.path, query: changed(selection.value, changes) }),
    to,
    merged: ({ from, to: end }, missing) => to('pull-requests', { ...NO_RANGE, from, to: end, state: 'merged', missing }),
  }
}
