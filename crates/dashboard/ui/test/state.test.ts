import { describe, expect, it } from 'vitest'
import { changed, filtersOf, NO_RANGE, selectionOf } from '../src/selection'

describe('the address', () => {
  it('keeps only what it knows, once', () => {
    expect(selectionOf({ team: 'web', last: 'P4W', other: 'x', repo: ['a/b', 'c/d'], base: '' })).toEqual({ team: 'web', last: 'P4W' })
  })
  it('replaces a range whole', () => {
    expect(changed({ team: 'web', last: 'P4W' }, { ...NO_RANGE, from: '2026-06-01', to: '2026-06-08' })).toEqual({
      team: 'web', from: '2026-06-01', to: '2026-06-08',
    })
    expect(changed({ base: 'main' }, { base: undefined })).toEqual({})
  })
  it('passes on what a question takes', () => {
    const selection = { team: 'web', last: 'P4W', interval: 'month', sort: 'longest', repo: 'a/b' }
    expect(filtersOf(selection, 'interval')).toEqual({ last: 'P4W', repo: 'a/b' })
  })
})
