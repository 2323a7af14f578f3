import { describe, expect, it } from 'vitest'
import { createApp, nextTick } from 'vue'
import { CHOICES, fieldsIn, linesOf, type Chosen, type Condition } from '../src/metricLines'
import MetricForm from '../src/parts/MetricForm.vue'

const chosen = (more: Partial<Chosen> = {}): Chosen => ({ id: 'a', name: '', of: 'pull_requests', basis: 'delivered', statistic: 'count', measure: 'pickup', by: 'week', conditions: [], ...more })
const has = (field: string, value: string, more: Partial<Condition> = {}): Condition => ({ place: 'when', field, bound: 'at_least', value, ...more })

describe('the lines of a metric', () => {
  it('have the choices of the schema, and none of a person', () => {
    expect(CHOICES.statistic).toEqual(['count', 'weight', 'share', 'p50', 'p75', 'p90', 'mean'])
    expect(Object.keys(CHOICES.of)).toEqual(['pull_requests', 'deployments', 'incidents', 'reviews'])
    expect([CHOICES.by, CHOICES.of.pull_requests!.states, CHOICES.of.reviews!.states]).toEqual([['week', 'month'], ['merged', 'closed'], []])
    expect(CHOICES.of.deployments).toEqual({ fields: ['services', 'kinds', 'recovery_time', 'pull_requests', 'failure', 'rework', 'state'], states: ['succeeded', 'failed'], measures: ['recovery_time', 'pull_requests'], hasBasis: true })
    expect(CHOICES.fields).toMatchObject({ labels: 'texts', lines: 'size', pickup: 'time', reviewed: 'flag', state: 'state' })
    expect(Object.keys(CHOICES.fields).filter((it) => /author|person|login|user|reviewer/.test(it))).toEqual([])
    expect((['when', 'when.not'] as const).map((place) => fieldsIn('pull_requests', place).includes('state'))).toEqual([true, false])
  })
  it('are what the teams file reads', () => {
    expect(linesOf(chosen())).toEqual({ lines: 'metrics:\n  - id: a\n    of: pull_requests\n    statistic: count\n    by: week' })
    const conditions = [
      has('labels', ' docs, "odd" label '),
      has('labels', 'Chore'),
      has('titles', 'Bump: *', { place: 'when.not' }),
      has('lines', '10'),
      has('lines', '400', { bound: 'at_most' }),
      has('pickup', '4h', { place: 'than', bound: 'at_most' }),
      has('state', 'merged, closed', { place: 'than' }),
      has('draft', 'false', { place: 'than.not' }),
    ]
    expect(linesOf(chosen({ id: 'docs-share', name: ' Docs: all ', statistic: 'share', by: 'month', conditions }))).toEqual({
      lines: `metrics:
  - id: docs-share
    name: "Docs: all"
    of: pull_requests
    statistic: share
    when: { labels: ["docs", "\\"odd\\" label", "Chore"], not: { titles: ["Bump: *"] }, lines: { at_least: 10, at_most: 400 } }
    than: { pickup: { at_most: 4h }, state: [merged, closed], not: { draft: false } }
    by: month`,
    })
    // What `than` says means nothing for other statistics.
    const lines = linesOf(chosen({ statistic: 'p75', conditions: [has('draft', 'true', { place: 'than' })] }))
    expect(lines).toEqual({ lines: 'metrics:\n  - id: a\n    of: pull_requests\n    statistic: p75\n    measure: pickup\n    by: week' })
  })
  it('are of what has the fields', () => {
    const lines = linesOf(chosen({ of: 'deployments', basis: 'owned', statistic: 'share', conditions: [has('failure', 'true'), has('kinds', 'change', { place: 'than' })] }))
    expect(lines).toEqual({ lines: 'metrics:\n  - id: a\n    of: deployments\n    basis: owned\n    statistic: share\n    when: { failure: true }\n    than: { kinds: ["change"] }\n    by: week' })
  })
  it('say what is missing', () => {
    const missing = (more: Partial<Chosen>) => (linesOf(chosen(more)) as { missing: string }).missing
    expect(missing({ id: 'A b' })).toContain('an id')
    expect(missing({ statistic: 'p50', measure: '' })).toContain('a measure')
    expect(missing({ statistic: 'p50', of: 'incidents' })).toContain('a measure')
    expect(missing({ statistic: 'share' })).toContain('which part')
    expect(missing({ conditions: [has('labels', ' ,')] })).toBe('“labels” needs a value.')
    expect(missing({ conditions: [has('pickup', '4')] })).toContain('4h or 7d')
    expect(missing({ conditions: [has('lines', 'many')] })).toContain('a whole number')
  })
})

it('the form shows the lines of what is chosen', async () => {
  const place = document.createElement('div')
  createApp(MetricForm).mount(place)
  expect(place.querySelector('pre')).toBeNull()
  const type = async (element: HTMLInputElement | HTMLSelectElement, value: string, event: string) => {
    element.value = value
    element.dispatchEvent(new Event(event))
    await nextTick()
  }
  await type(place.querySelector('input')!, 'big-ones', 'input')
  place.querySelectorAll('button')[0]!.click()
  await nextTick()
  await type(place.querySelector('select[aria-label=Field]')!, 'lines', 'change')
  expect(place.querySelector('[role=status]')!.textContent).toBe('“lines” needs a value, a whole number.')
  await type(place.querySelector('input[aria-label=Value]')!, '400', 'input')
  expect(place.querySelector('pre')!.textContent).toContain('    when: { lines: { at_least: 400 } }\n')
  await type(place.querySelector('select')!, 'incidents', 'change')
  expect(place.querySelector('pre')!.textContent).toBe('metrics:\n  - id: big-ones\n    of: incidents\n    statistic: count\n    by: week')
})
