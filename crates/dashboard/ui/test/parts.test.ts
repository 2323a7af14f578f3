import { createApp, h, ref, type Component, type FunctionalComponent } from 'vue'
import { describe, expect, it } from 'vitest'
import { ApiFailure } from '../src/api/client'
import { MAY_LIST, NOW, TEAM } from '../src/context'
import Block from '../src/parts/Block.vue'
import Incidents from '../src/parts/Incidents.vue'
import Merged from '../src/parts/Merged.vue'
import PhasesBar from '../src/parts/PhasesBar.vue'
import StatusLine from '../src/parts/StatusLine.vue'
import { collecting, hidden } from '../src/series'

/** In place of the router's. */
const Link: FunctionalComponent<{ to: string }> = ({ to }, { slots }) => h('a', { href: to }, slots.default?.())
Link.props = ['to']

/** What a part draws. */
function draw(part: Component, props: Record<string, unknown>, mayList = true): HTMLElement {
  const place = document.createElement('div')
  const app = createApp({ render: () => h(part, props) })
  app.component('RouterLink', Link)
  app.provide(TEAM, undefined as never).provide(NOW, ref(0)).provide(MAY_LIST, ref(mayList)).mount(place)
  return place
}
const text = (place: HTMLElement) => place.textContent!.replace(/\s+/g, ' ').trim()

describe('a number of pull requests', () => {
  it('says how final it is', () => {
    expect(text(draw(Merged, { n: 12, incomplete: [], to: 'list' }))).toBe('12')
    expect(text(draw(Merged, { n: 12, incomplete: ['running'], to: 'list' }))).toBe('12 so far')
    expect(text(draw(Merged, { n: 12, incomplete: ['running', 'partly_read'], to: 'list' }))).toBe('at least 12')
  })
  it('is none, and no link, where nothing was read', () => {
    const place = draw(Merged, { n: 0, incomplete: ['not_read'], to: 'list' })
    expect([text(place), place.querySelector('a')]).toEqual(['not read', null])
  })
  it('is a link for those who may see lists', () => {
    expect(draw(Merged, { n: 1, incomplete: [], to: 'list' }).querySelector('a')?.getAttribute('href')).toBe('list')
    expect(draw(Merged, { n: 1, incomplete: [], to: 'list' }, false).querySelector('a')).toBeNull()
  })
})

it('each phase has its share', () => {
  const of = (hours: number | null) => ({ n: 8, weight: 8, mean_hours: hours, p50_hours: hours, p75_hours: hours, p90_hours: hours, p95_hours: hours })
  const rows = [...draw(PhasesBar, { phases: { coding: of(2), pickup: of(1), review: of(5), deploy: of(null) }, suppressed: true }).querySelectorAll('tbody tr')]
  expect(rows.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent))).toEqual([
    ['2 h', '25%', '2 h', '8'],
    ['1 h', '12.5%', '1 h', '8'],
    ['5 h', '62.5%', '5 h', '8'],
    ['hidden', '', 'hidden', '8'],
  ])
})

it('an incident has its deployment, its share, and a title for those who may see it', () => {
  const incident = { id: 1, started_at: '2026-09-14T17:00:00Z', title: null, service: 'shop', duration_hours: 4, severity: 'high', source_severity: 'sev2', outcome: 'resolved', deployment_id: 55, rule: 'window', share: 0.5, url: null }
  const deployment = { id: 55, finished_at: '2026-09-14T15:00:00Z', created_at: '2026-09-14T14:00:00Z', url: 'https://example.org/55' }
  const place = draw(Incidents, { incidents: [incident], deployments: [deployment], zone: 'UTC', hasShares: true })
  expect(text(place)).toContain('shop4 hhighresolved')
  expect(text(place)).toMatch(/the last one before its start50%$/)
  expect(place.querySelector('a')?.getAttribute('href')).toBe('https://example.org/55')
  expect(place.querySelectorAll('th').length).toBe(7)
  expect(draw(Incidents, { incidents: [{ ...incident, title: 'Down' }], deployments: [], zone: 'UTC', hasShares: false }).textContent).toContain('Down')
})

it('an answer that is old is called so', () => {
  const error = new ApiFailure(503, 'unavailable', 'Not now.', 'trace-1')
  const props = { title: 'Merged', height: 10, isPending: false, error }
  expect(text(draw(Block, { ...props, hasData: true }))).toContain('This is an earlier answer. Not now.')
  expect(text(draw(Block, { ...props, hasData: false }))).not.toContain('earlier')
  expect(text(draw(Block, { ...props, hasData: false }))).toContain('Code: unavailable. Trace: trace-1.')
})

describe('what was collected', () => {
  const coverage = (collected: number, pending: number, failing: number, since: string | null) => ({ quarantined: 0, since, repositories: { collected, failing: null, pending: null, never_collected: null, counts: { failing, pending, never_collected: 0 } } })
  it('says what to do, unless it is all', () => {
    expect(collecting(coverage(0, 0, 0, null))).toContain('set GITHUB_PAT, and run “mergeline collect”')
    expect(collecting(coverage(1, 2, 0, null))).toContain('still being collected')
    expect(collecting(coverage(1, 2, 1, null))).toContain('some fail')
    expect(collecting(coverage(2, 0, 1, '2026-06-01T00:00:00Z'))).toBeUndefined()
    expect(collecting(coverage(3, 0, 0, '2026-06-01T00:00:00Z'))).toBeUndefined()
  })
  it('is on paper with its days', () => {
    const meta = { data_as_of: '2026-06-01T10:00:00Z', coverage: coverage(3, 0, 0, '2026-01-01T00:00:00Z'), warnings: [], timezone: 'UTC', range: { from: '2026-05-04', to: '2026-06-01' } }
    expect(draw(StatusLine, { meta, now: Date.parse('2026-06-01T11:00:00Z') }).querySelector('.paper')?.textContent?.replace(/\s+/g, ' ')).toMatch(/^May 4 – 31, 2026\. Data as of Jun 1, 2026, 10:00 AM, days of UTC\.$/)
  })
})

it('what is hidden says why', () => {
  expect(hidden(4)).toContain('fewer than 4 people')
  expect(hidden(undefined)).toContain('required number')
})
