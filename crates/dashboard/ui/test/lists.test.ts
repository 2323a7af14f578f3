import { describe, expect, it } from 'vitest'
import { wholeList } from '../src/api/queries'
import { nextSort, orderOf, sortOfApi } from '../src/sorting'
import { isShown, presets, rangeName } from '../src/ranges'

describe('a list of several pages', () => {
  /** Three pages of two. */
  const ask = async (page: Record<string, string>) => {
    const at = Number(page.cursor ?? 0)
    return { data: { data: [at * 2, at * 2 + 1], meta: { next_cursor: at < 2 ? String(at + 1) : null } } }
  }
  it('is one answer', async () => {
    expect((await wholeList(ask)).data).toEqual({ data: [0, 1, 2, 3, 4, 5], meta: { next_cursor: null } })
  })
  it('is cut at a limit, and says so', async () => {
    expect((await wholeList(ask, 3)).data).toEqual({ data: [0, 1, 2, 3], meta: { next_cursor: '2' } })
  })
})

describe('the order of a list', () => {
  it('is the one of the address, else what people look for', () => {
    expect(orderOf(undefined, false)).toEqual({ by: 'when', down: true })
    expect(orderOf(undefined, true)).toEqual({ by: 'when', down: false })
    expect(orderOf('longest', true)).toEqual({ by: 'time', down: true })
    expect(orderOf('nonsense', false)).toEqual({ by: 'when', down: true })
  })
  it('turns with each click on the same column', () => {
    expect(nextSort(orderOf(undefined, false), 'time')).toBe('longest')
    expect(nextSort(orderOf('longest', false), 'time')).toBe('shortest')
    expect(nextSort(orderOf('longest', false), 'title')).toBe('a-to-z')
    expect(nextSort(orderOf('a-to-z', false), 'title')).toBe('z-to-a')
    expect(nextSort(orderOf(undefined, false), 'when')).toBe('oldest')
    expect(nextSort(orderOf('oldest', false), 'weight')).toBe('largest-share')
  })
  it('is only passed on if the API has it', () => {
    expect(['longest', 'largest', 'a-to-z', undefined].map(sortOfApi)).toEqual(['longest', 'largest', undefined, undefined])
  })
})

describe('ranges', () => {
  const today = new Date(2026, 10, 30)
  it('offer the quarter and the year to date', () => {
    const offered = presets(today)
    expect(offered.at(-2)).toEqual({ name: 'This quarter', days: { from: '2026-10-01' } })
    expect(offered.at(-1)).toEqual({ name: 'This year to date', days: { from: '2026-01-01' } })
    expect(presets(new Date(2026, 2, 31)).at(-2)!.days).toEqual({ from: '2026-01-01' })
    expect(isShown(offered.at(-2)!, { team: 'web', from: '2026-10-01' })).toBe(true)
    expect(isShown(offered.at(-2)!, { from: '2026-10-01', to: '2026-11-01' })).toBe(false)
    expect(isShown(offered[0]!, { last: 'P4W' })).toBe(false)
  })
  it('have names', () => {
    expect(rangeName({}, '/overview', today)).toBe('4 weeks, 12 in charts')
    expect(rangeName({}, '/delivery', today)).toBe('Last 12 weeks')
    expect(rangeName({}, '/insight', today)).toBe('All weeks')
    expect(rangeName({ from: '2026-10-01' }, '/overview', today)).toBe('This quarter')
    expect(rangeName({ from: '2026-10-02' }, '/overview', today)).toBe('Since Oct 2, 2026')
    expect(rangeName({ week: '2026-W23' }, '/overview', today)).toBe('Week 23 of 2026')
    expect(rangeName({ last: 'P3M' }, '/overview', today)).toBe('Last P3M')
  })
})
