/** What all screens share. */

import { inject, ref, type ComputedRef, type InjectionKey, type Ref } from 'vue'
import type { Schemas } from './api/client'

/** The team that is shown. */
export const TEAM: InjectionKey<ComputedRef<Schemas['Team'] | undefined>> = Symbol('team')
/** Whether single pull requests may be seen; not known at first. */
export const MAY_LIST: InjectionKey<Ref<boolean | undefined>> = Symbol('may list')
/** The current time, which moves by the minute. */
export const NOW: InjectionKey<Ref<number>> = Symbol('now')

export function useContext() {
  return { team: inject(TEAM)!, now: inject(NOW, () => ref(Date.now()), true), mayList: inject(MAY_LIST, ref(true)) }
}
