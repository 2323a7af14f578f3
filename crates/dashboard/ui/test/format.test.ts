import { describe, expect, it } from 'vitest'
import { ago, bucketName, days, duration, many, shortDuration } from '../src/format'

describe('durations', () => {
  it('are written as people say them', () => {
    expect([0.01, 0.25, 1, 16.5, 47.9, 48, 24 * 20, 24 * 35].map(duration)).toEqual([
      'under a minute', '15 min', '1 h', '16.5 h', '47.9 h', '2 days', '20 days', '5 weeks',
    ])
    expect([0.25, 4, 24, 72, 672].map(shortDuration)).toEqual(['15 min', '4 h', '1 d', '3 d', '4 w'])
  })
  it('never go below zero, although clocks differ', () => {
    expect(ago('2026-06-01T10:00:30Z', Date.parse('2026-06-01T10:00:00Z'))).toBe('under a minute ago')
  })
})

/** Ranges are written with thin spaces. */
const plain = (text: string) => text.replace(/\s/g, ' ')

describe('days', () => {
  it('name the last day of a half open range', () => {
    expect(plain(days('2026-11-02', '2026-11-09'))).toBe('Nov 2 – 8, 2026')
    expect(days('2026-11-02', '2026-11-03')).toBe('Nov 2, 2026')
    expect(plain(days('2026-12-28', '2027-01-04'))).toMatch(/^Dec 28, 2026 – Jan 3, 2027$/)
  })
  it('are the same day in every zone of the reader', () => {
    expect(bucketName('day', '2026-06-01', '2026-06-02')).toBe('Jun 1, 2026')
    expect(bucketName('month', '2026-06-01', '2026-07-01')).toBe('Jun 2026')
    expect(bucketName('quarter', '2026-04-01', '2026-07-01')).toBe('Q2 2026')
  })
})

it('one is singular', () => {
  expect([0, 1, 2, 1234].map((n) => many(n, 'pull request'))).toEqual(['0 pull requests', '1 pull request', '2 pull requests', '1,234 pull requests'])
})
