/** What is shown is in the address, and nowhere else: Back works, and a copied address shows the same. */

import { computed, type ComputedRef } from 'vue'
import { useRoute, useRouter, type LocationQueryRaw } from 'vue-router'
import { useContext } from './context'
import { changed, NO_RANGE, selectionOf, type Selection } from './selection'

export type Address = { path: string; query: LocationQueryRaw }

export interface SelectionState {
  selection: ComputedRef<Selection>
  /** Changes the address. */
  change: (changes: Selection) => void
  /** The address of a screen with the same selection, and changes. */
  to: (screen: string, changes?: Selection) => Address
  /** The address of the list of what was merged in some days, or of others with changes. */
  listed: (days: { from: string; to: string }, changes?: Selection) => Address
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
    listed: ({ from, to: end }, changes) => to('pull-requests', { ...NO_RANGE, from, to: end, state: 'merged', missing: undefined, ...changes }),
  }
}

/** The list of what was merged in some days, for those who may see lists. */
export function useListOf(): (days: { from: string; to: string }) => Address | undefined {
  const { mayList } = useContext()
  const { listed } = useSelection()
  return (days) => (mayList.value === false ? undefined : listed(days))
}
