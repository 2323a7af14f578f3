// Parts of screens: each says what the API answers, what it hides, and why.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { altered, ask, inEachLook, launch, open, violations } from './page.mjs'

let browser
before(async () => (browser = await launch()))
after(async () => browser?.close())

/** The cells of the rows of a table. */
const cells = (place) => place.locator('tbody tr').evaluateAll((rows) => rows.map((row) => [...row.querySelectorAll('th, td')].map((cell) => cell.innerText.trim())))
const number = (value) => new Intl.NumberFormat('en-US', { maximumFractionDigits: 2 }).format(value)

describe('reviews', () => {
  const blockOf = (page) => page.locator('.block', { has: page.getByRole('heading', { name: 'Reviews', exact: true }) })

  test('are in a table of teams, the own one first, as the API has them', async () => {
    const { context, page, problems } = await open(browser, 'insight?team=payments')
    const { data } = await ask('metrics/team/payments/reviews')
    const block = blockOf(page)
    const shown = await cells(block.locator('table'))
    const expected = data.flow.cells.map((it) => [it.author_team?.name ?? 'No team', it.reviewer_team?.name ?? 'No team', number(it.n), number(it.weight)].join())
    assert.ok(expected.length >= 5, 'the demo has reviews between teams')
    assert.deepEqual(shown.map((row) => row.slice(0, 4).join()).sort(), expected.sort())
    assert.deepEqual(shown[0].slice(0, 2), ['Payments', 'Payments'])
    assert.match(shown[0][4], /^[\d.]+ (min|h|days)$/)
    assert.ok((await block.innerText()).includes(`${number(data.flow.n)} reviews`))
    // Four people are in the demo's teams, fewer than may be shown.
    assert.match(await block.innerText(), /spread is hidden: they are of fewer than 5, and it would show what single people did/)
    assert.deepEqual(problems, [])
    await context.close()
  })

  test('say among how many they are spread, what is hidden and what was not read, and name nobody', async () => {
    const change = (answer) => {
      Object.assign(answer.data.spread, { n: 40, half_by: 2, people: 7, is_suppressed: false, n_outside: 3, n_hidden: 4 })
      Object.assign(answer.data, { prs_unread: 6 })
      answer.data.flow.n_hidden = 5
      Object.assign(answer.data.flow.cells[0], { wait_p50_hours: null, is_suppressed: true })
      Object.assign(answer.data.flow.cells[1], { reviewer_team: null, wait_p50_hours: null, is_suppressed: false })
    }
    const { context, page, problems } = await open(browser, 'insight?team=payments', { routes: { '**/team/payments/reviews*': altered(change) } })
    const block = blockOf(page)
    const text = await block.innerText()
    for (const said of [
      'Half of the 40 reviews of the team’s pull requests were made by 2 of 7 people.',
      '3 reviews by people outside the teams file',
      'Left out, since their weeks have too few people or are not over: 4 reviews above, 5 in the table.',
      'the reviews of 6 pull requests of the team were not all read yet',
    ]) assert.ok(text.includes(said), `${said}: ${text}`)
    const rows = await cells(block.locator('table'))
    assert.equal(rows.find(([author, reviewer]) => author === 'Payments' && reviewer === 'Payments')[4], 'hidden')
    assert.equal(rows.find(([author, reviewer]) => author === 'Payments' && reviewer === 'No team')[4], 'not known')
    for (const login of ['ana', 'bob', 'carla', 'deniz', 'emil']) assert.doesNotMatch(text, new RegExp(`\\b${login}\\b`, 'i'))
    await inEachLook(page, async (look) => assert.deepEqual(await violations(page), [], look))
    assert.deepEqual(problems, [])
    await context.close()
  })

  test('of other teams that were not read, and of nobody, are said to be', async () => {
    const change = (answer) => {
      answer.meta.warnings = ['details_pending: the reviews of some pull requests were not all read yet']
      Object.assign(answer.data, { reviews: 0, prs_unread: 0 })
      answer.data.flow.cells = []
    }
    const { context, page } = await open(browser, 'insight?team=payments', { routes: { '**/team/payments/reviews*': altered(change) } })
    const text = await blockOf(page).innerText()
    assert.match(text, /No review of the team is known from \w+ \d+/)
    assert.match(text, /the reviews of other teams’ pull requests were not all read yet/)
    assert.equal(await blockOf(page).locator('table').count(), 0)
    await context.close()
  })
})
