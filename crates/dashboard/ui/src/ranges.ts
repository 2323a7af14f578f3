/** The ranges that are offered, and how a range is called. */

import { days } from './format'
import type { Selection } from './state'

export interface Preset {
  name: string
  /** None for the usual days: tiles compare the last four whole weeks with the four before, charts show twelve. */
  last: string | undefined
}

export const PRESETS: Preset[] = [
  { name: 'Usual days', last: undefined },
  { name: 'Last 4 weeks', last: 'P4W' },
  { name: 'Last 12 weeks', last: 'P12W' },
  { name: 'Last 26 weeks', last: 'P26W' },
  { name: 'Last 52 weeks', last: 'P52W' },
]

/** What is shown if the address does not say. */
const DEFAULT_LAST = 'P12W'

/** The filters, with the usual days if they name none. */
export function withDays(filters: Record<string, string>): Record<string, string> {
  const hasDays = ['last', 'from', 'week'].some((part) => part in filters)
  return hasDays ? filters : { ...filters, last: DEFAULT_LAST }
}

/** The name of the selected range; a range of two days is written out. */
export function rangeName(selection: Selection): string {
  const { last, from, to, week } = selection
  if (week) return `Week ${week.slice(6)} of ${week.slice(0, 4)}`
  if (from && to) return days(from, to)
  if (from) return `Since ${days(from, from)}`
  const preset = PRESETS.find((it) => it.last === last)
  return preset?.name ?? `Last ${last}`
}
