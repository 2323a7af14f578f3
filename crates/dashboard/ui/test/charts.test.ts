import { describe, expect, it } from 'vitest'
import { bound, completenessOf, looks, mayChange, sentences } from '../src/charts/buckets'
import { path } from '../src/charts/path'
import { countAxis, dayTicks, durationAxis, timeScale } from '../src/charts/scales'

describe('a unit that is not final', () => {
  it('is drawn by the first reason that matters', () => {
    expect(completenessOf([])).toBe('complete')
    expect(completenessOf(['running', 'partly_read'])).toBe('partly_read')
    expect(completenessOf(['running', 'not_read', 'outside_range'])).toBe('outside_range')
    expect(completenessOf(['deployments_not_read'])).toBe('partly_read')
  })
  it('says every reason, and its look once', () => {
    expect(sentences(['running', 'quarantined'])).toBe('This period is not over, so the number may change. Pull requests that could not be read may be missing.')
    expect(mayChange(['running', 'partly_read'])).toBe('This period is not over, so the number may change. Not everything was read: it may change.')
    expect([[], ['running'], ['running', 'quarantined'], ['outside_range']].map(bound)).toEqual([undefined, 'so far', 'at least', undefined])
    expect(looks([{ incomplete: [] }, { incomplete: ['running'] }, { incomplete: ['running'] }])).toBe('Dashed: not over.')
  })
})

it('a line has a gap where nothing is known', () => {
  expect(path([{ x: 0, y: 1 }, { x: 2, y: 3 }, null, { x: 4, y: 5 }])).toBe('M0.0,1.0L2.0,3.0M4.0,5.0')
  expect(path([null])).toBe('')
})

describe('axes', () => {
  it('of durations include every value and have human ticks', () => {
    const { scale, ticks } = durationAxis([0.02, 16, 1500], [200, 0])
    expect(scale.domain()[0]).toBeLessThanOrEqual(0.02)
    expect(scale.domain()[1]).toBeGreaterThanOrEqual(1500)
    expect(ticks).toEqual([0.25, 1, 4, 24, 72, 168, 672, 2688])
    expect(durationAxis([], [200, 0]).ticks.length).toBeGreaterThan(0)
  })
  it('of days name as many as there is room for, and weeks by their Monday', () => {
    const named = (from: string, to: string, most: number) => dayTicks(Date.parse(from), Date.parse(to), most).map((tick) => new Date(tick).toISOString().slice(0, 10))
    expect(named('2026-06-01', '2026-06-04', 5)).toEqual(['2026-06-01', '2026-06-02', '2026-06-03', '2026-06-04'])
    expect(named('2026-06-02', '2026-06-29', 5)).toEqual(['2026-06-08', '2026-06-15', '2026-06-22', '2026-06-29'])
    expect(named('2026-01-01', '2027-01-01', 8).length).toBeLessThanOrEqual(8)
    expect(named('2016-01-01', '2026-01-01', 2).length).toBeGreaterThan(0)
    expect(timeScale({ from: '2026-06-01', to: '2026-06-03' }, 0, 100)(Date.parse('2026-06-02'))).toBe(50)
  })
  it('of counts begin at zero and have whole ticks', () => {
    expect(countAxis([0, 0], [100, 0]).ticks).toEqual([0, 1])
    expect(countAxis([6, 2.5], [100, 0]).ticks.every(Number.isInteger)).toBe(true)
  })
})
