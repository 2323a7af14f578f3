/** The days that numbers stand beside: those before, the same a year before, or none. */

import { computed, toValue, type MaybeRefOrGetter } from 'vue'
import { before as nameOf, beside, daysBefore, notCompared, yearBefore, type Compared, type Days } from './series'
import { filtersOf, type FilterName } from './selection'
import { useSelection } from './state'

/** An answer about other days, as far as it is there. */
interface Earlier {
  data: { value: unknown }
  error: { value: Error | null }
}

type With = 'previous' | 'year' | 'none'
type Shown = MaybeRefOrGetter<Days | undefined>
/** Asks for the numbers of other days, once they are wanted. */
type Ask<E extends Earlier> = (filters: () => Record<string, string>, isWanted: () => boolean) => E

/** Asks for the numbers of the days that those of `shown` stand beside. */
function useEarlier<E extends Earlier>(shown: Shown, left: FilterName[], ask: Ask<E>, isAsked: (how: With) => boolean) {
  const { selection } = useSelection()
  const how = computed((): With => (selection.value.with === 'year' || selection.value.with === 'none' ? selection.value.with : 'previous'))
  const isWanted = computed(() => isAsked(how.value) && toValue(shown) !== undefined)
  const earlier = ask(
    () => {
      const days = toValue(shown)
      const then = days && (how.value === 'year' ? yearBefore(days) : daysBefore(days))
      return { ...filtersOf(selection.value, 'interval', 'last', 'from', 'to', 'week', ...left), ...then }
    },
    () => isWanted.value,
  )
  /** Why nothing can be compared yet. */
  const missing = computed(() => {
    if (!isWanted.value || earlier.data.value !== undefined) return undefined
    return earlier.error.value ? `Not compared: ${earlier.error.value.message}` : 'Comparing'
  })
  return { how, isWanted, earlier, missing }
}

/** For numbers whose answer has those of the days before, too. */
export function useComparison<E extends Earlier>(shown: Shown, left: FilterName[], ask: Ask<E>) {
  const { how, isWanted, earlier, missing } = useEarlier(shown, left, ask, (it) => it === 'year')
  /** What the other days are called; nothing if none are wanted. */
  const before = (summary: Compared) => (how.value === 'none' ? undefined : nameOf(summary.period, how.value))
  return {
    earlier,
    before,
    missing,
    why: (summary: Compared) => missing.value ?? notCompared(summary, before(summary)),
    /** The numbers beside those of then; without a change while those are not there. */
    compared: <T extends Compared>(summary: T, then: Compared['previous'] | undefined): T => {
      if (how.value === 'none') return { ...summary, change: null }
      if (!isWanted.value) return summary
      return then === undefined ? { ...summary, change: null } : beside(summary, then)
    },
  }
}

/** For numbers whose answer has no others: those are asked for. */
export function useOther<E extends Earlier>(shown: Shown, left: FilterName[], ask: Ask<E>) {
  const { how, isWanted, earlier, missing } = useEarlier(shown, left, ask, (it) => it !== 'none')
  const name = computed(() => {
    const days = toValue(shown)
    return days && isWanted.value ? nameOf(days, how.value) : undefined
  })
  return { earlier, missing, name }
}
