/** The days that numbers stand beside: those before, or the same a year before. */

import { computed, toValue, type MaybeRefOrGetter } from 'vue'
import { before as beforeOf, beside, notCompared, yearBefore, type Compared, type Days } from './series'
import { filtersOf, useSelection, type FilterName } from './state'

/** An answer about other days, as far as it is there. */
interface Earlier {
  data: { value: unknown }
  error: { value: Error | null }
}

/** How the address wants numbers compared that are of these days. `ask` asks for those of other days, where that is needed. */
export function useComparison<E extends Earlier>(
  shown: MaybeRefOrGetter<Days | undefined>,
  left: FilterName[],
  ask: (filters: () => Record<string, string>, isWanted: () => boolean) => E,
) {
  const { selection } = useSelection()
  const isYear = computed(() => selection.value.compare === 'year' && toValue(shown) !== undefined)
  const earlier = ask(
    () => {
      const days = toValue(shown)
      return { ...filtersOf(selection.value, 'interval', 'last', 'from', 'to', 'week', ...left), ...(days ? yearBefore(days) : {}) }
    },
    () => isYear.value,
  )
  const before = (summary: Compared) => beforeOf(summary.period, selection.value.compare)
  /** Why nothing can be compared yet. */
  const missing = computed(() => {
    if (!isYear.value || earlier.data.value !== undefined) return undefined
    return earlier.error.value ? `Not compared: ${earlier.error.value.message}` : 'Comparing'
  })
  return {
    earlier,
    before,
    missing,
    why: (summary: Compared) => missing.value ?? notCompared(summary, before(summary)),
    /** The numbers beside those of then; `undefined` while those are not there. */
    compared: <T extends Compared>(summary: T, then: Compared['previous'] | undefined): T =>
      !isYear.value ? summary : then === undefined ? { ...summary, change: null } : beside(summary, then),
  }
}
