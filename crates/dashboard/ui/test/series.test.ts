import { describe, expect, it } from 'vitest'
import type { Schemas } from '../src/api/client'
import { bars, before, beside, byChance, difference, headline, isUnread, longer, notCompared, percentiles, yearBefore } from '../src/series'

const statistics = (n: number, p50: number | null, p90: number | null) => ({ n, weight: n, mean_hours: p50, p50_hours: p50, p75_hours: p50, p90_hours: p90, p95_hours: p90 })
const period = (merged: number, p50: number | null): Schemas['Period'] =>
  ({ from: '2026-06-01', to: '2026-06-29', complete: true, incomplete: [], prs_merged: merged, prs_merged_weighted: merged, contributors: 3, cycle_time: statistics(merged, p50, p50), suppressed: false }) as unknown as Schemas['Period']
const summary = (now: Schemas['Period'], then: Schemas['Period'], isCompared = true): Schemas['Summary'] =>
  ({ period: now, previous: then, change: isCompared ? {} : null, open: {}, team: {} }) as unknown as Schemas['Summary']

describe('comparisons', () => {
  it('take the same days of the week a year before, also across a leap day', () => {
    expect(yearBefore({ from: '2026-06-01', to: '2026-06-29' })).toEqual({ from: '2025-06-02', to: '2025-06-30' })
    expect(yearBefore({ from: '2024-03-04', to: '2024-03-11' })).toEqual({ from: '2023-03-06', to: '2023-03-13' })
  })
  it('stand beside other days only if both were read completely', () => {
    const now = summary(period(10, 5), period(9, 5))
    expect(beside(now, period(4, 3)).change).toEqual({ prs_merged: 6, prs_merged_weighted: 6, cycle_time_p50_hours: 2, cycle_time_p90_hours: 2 })
    expect(beside(now, period(4, null)).change).toMatchObject({ prs_merged: 6, cycle_time_p50_hours: null })
    const unread = { ...period(4, 3), complete: false } as Schemas['Period']
    expect(beside(now, unread).change).toBeNull()
    expect(notCompared(beside(now, unread), 'the same week a year before')).toBe('Not compared: the same week a year before was not read completely')
  })
  it('name the period before', () => {
    expect(before({ from: '2026-06-01', to: '2026-06-29' })).toBe('the 4 weeks before')
    expect(before({ from: '2026-06-01', to: '2026-06-08' })).toBe('the week before')
    expect(before({ from: '2026-06-01', to: '2026-06-02' })).toBe('the day before')
    expect(before({ from: '2026-06-01', to: '2026-06-29' }, 'year')).toBe('the same 4 weeks a year before')
  })
  it('say why there is none', () => {
    expect(difference(undefined, 'the week before', 'why')).toBe('why')
    expect(notCompared({ ...summary(period(1, 1), period(1, 1)) }, 'the week before')).toContain('was not read completely')
    expect(notCompared(summary({ ...period(1, 1), incomplete: ['running'], complete: false }, period(1, 1)), 'the week before')).toBe('Not compared: these days are not over')
    expect(longer(null, 'the week before', 'why')).toContain('none had a duration')
    expect(difference(-3, 'the week before', 'why')).toBe('3 fewer than in the week before')
    expect(longer(2.1, 'the week before', 'why')).toBe('2.1 h longer than in the week before')
  })
})

describe('the sentence', () => {
  it('calls a change only what is more than chance', () => {
    expect(headline(summary(period(14, 13), period(20, 19)), 'the 4 weeks before')).toBe('14 pull requests merged, and 20 in the 4 weeks before: within the usual variation. Half merged within 13 h, compared with 19 h before.')
    expect(headline(summary(period(5, null), period(30, 10)), 'the 4 weeks before')).toBe('Fewer pull requests merged than in the 4 weeks before (5 and 30).')
    expect(headline(summary(period(20, 30), period(20, 10)), 'the 4 weeks before')).toContain('took longer: half within 30 h instead of 10 h')
    expect(headline(summary(period(20, 30), period(20, 10), false), 'the 4 weeks before')).toContain('Not compared')
    expect(headline(summary(period(0, null), period(20, 10)), 'the 4 weeks before')).toBe('Nothing was merged in these days.')
  })
})

it('a bar leads to the days of it that are in the range', () => {
  const bucket = { bucket: '2026-W23', start: '2026-06-01', end: '2026-06-08', incomplete: ['outside_range'], prs_merged: 3, prs_merged_weighted: 2.5, cycle_time: statistics(3, 4, 9), suppressed: false }
  const [bar] = bars([bucket as never], 'week', { from: '2026-06-03', to: '2026-06-30' }, (days) => `${days.from} ${days.to}`)
  expect(bar).toMatchObject({ value: 2.5, plain: 3, to: '2026-06-03 2026-06-08' })
  expect(bar!.text).toContain('3 pull requests merged, 2.5 by share')
  expect(byChance([3, 30])).toBe('3 h to 30 h')
  expect(byChance(null)).toBe('')
  expect(percentiles(bucket.cycle_time)).toBe('half within 4 h, nine of ten within 9 h')
})

it('no text of others becomes HTML', async () => {
  const { readdirSync, readFileSync } = await import('node:fs')
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((name) => /\.(vue|ts)$/.test(name))
  expect(files.length).toBeGreaterThan(10)
  for (const file of files) expect(readFileSync(`src/${file}`, 'utf8'), file).not.toMatch(/v-html|innerHTML|outerHTML|insertAdjacentHTML/)
})

describe('an empty list', () => {
  it('says nothing about days before the first that was read', () => {
    const meta = (since: string | null, to: string) => ({ coverage: { since }, range: { to } })
    expect(isUnread(meta('2026-06-03T08:16:03Z', '2026-06-03'))).toBe(true)
    expect(isUnread(meta('2026-06-03T08:16:03Z', '2026-06-04'))).toBe(false)
    expect(isUnread(meta(null, '2026-06-04'))).toBe(true)
    expect(isUnread(undefined)).toBe(false)
  })
})
