/** The ranges that are offered, and how a range is called. */

import { days } from './format'
import type { Selection } from './selection'

/** The parts of a selection that say which days. */
export type RangeParts = Pick<Selection, 'last' | 'from' | 'to' | 'week'>

export interface Preset {
  name: string
  /** None for the usual days: tiles compare the last four whole weeks with the four before, charts show twelve. */
  days: RangeParts
}

const LASTS: Preset[] = [
  { name: 'Default days', days: {} },
  { name: 'Last 4 weeks', days: { last: 'P4W' } },
  { name: 'Last 12 weeks', days: { last: 'P12W' } },
  { name: 'Last 26 weeks', days: { last: 'P26W' } },
  { name: 'Last 52 weeks', days: { last: 'P52W' } },
]

/** The ranges that are offered on a day. Those without an end go on to the current day. */
export function presets(today: Date): Preset[] {
  const year = today.getFullYear()
  const month = Math.floor(today.getMonth() / 3) * 3 + 1
  return [
    ...LASTS,
    { name: 'This quarter', days: { from: `${year}-${String(month).padStart(2, '0')}-01` } },
    { name: 'This year to date', days: { from: `${year}-01-01` } },
  ]
}

/** Whether a selection has exactly the days of a preset. */
export const isShown = (preset: Preset, selection: Selection): boolean =>
  (['last', 'from', 'to', 'week'] as const).every((part) => preset.days[part] === selection[part])

/** The name of the range on a screen; a range of two days is written out. */
export function rangeName(selection: Selection, screen: string, today = new Date()): string {
  const { last, from, to, week } = selection
  if (isShown(LASTS[0]!, selection)) return ['/overview', '/teams'].includes(screen) ? '4 weeks, 12 in charts' : screen === '/insight' ? 'All weeks' : 'Last 12 weeks'
  const preset = presets(today).find((it) => isShown(it, selection))
  if (preset) return preset.name
  if (week) return `Week ${week.slice(6)} of ${week.slice(0, 4)}`
  if (from && to) return days(from, to)
  if (from) return `Since ${days(from, from)}`
  return `Last ${last}`
}
