// Parts of screens: each says what the API answers, what it hides, and why.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { altered, ask, inEachLook, json, launch, open, settled, URL_OF_DEMO, violations } from './page.mjs'

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

describe('what waits for production', () => {
  test('leads from each number on Services to as many rows', async () => {
    const { context, page, problems } = await open(browser, 'services')
    const { data } = await ask('state')
    const waiting = data.filter((it) => it.not_deployed > 0)
    assert.ok(waiting.length > 0, 'the demo has some')
    for (const { name, slug, not_deployed: n } of waiting) {
      await page.goto(`${URL_OF_DEMO}/v1/app/#/services`)
      await settled(page)
      await page.locator('tr', { has: page.getByRole('link', { name, exact: true }) }).getByRole('link', { name: String(n), exact: true }).click()
      await page.waitForURL(/service=.*#waiting$/)
      await settled(page)
      const block = page.locator('#waiting')
      assert.equal((await cells(block.locator('table'))).length, n, slug)
      assert.ok((await block.innerText()).includes(`${n} pull request`), await block.innerText())
      const { data: rows } = await ask(`waiting?service=${slug}`)
      assert.deepEqual((await cells(block.locator('table'))).map((row) => row[0]), rows.map((it) => `${it.title} ${it.repository}#${it.number}`))
    }
    assert.deepEqual(problems, [])
    await context.close()
  })

  test('is on Overview for a team, with the way to all, and what nobody knows yet is in a list of its own', async () => {
    const { data: rows } = await ask('waiting?team=payments')
    assert.ok(rows.length > 0, 'the demo has some')
    const unread = (answer) => {
      answer.data = [{ ...rows[0], number: 4711, title: 'Unread', url: 'https://github.com/acme/api/pull/4711' }]
    }
    const { context, page, problems } = await open(browser, 'overview?team=payments', { routes: { '**/waiting?*missing=not_collected*': altered(unread) } })
    const block = page.locator('.block', { hasText: 'Waiting now' })
    const table = block.locator('table', { hasText: 'waiting for production' })
    assert.deepEqual((await cells(table)).map((row) => row[0]), rows.slice(0, 5).map((it) => `${it.title} ${it.repository}#${it.number}`))
    await inEachLook(page, async (look) => assert.deepEqual(await violations(page), [], look))
    await table.getByRole('link', { name: 'All of these' }).click()
    await page.waitForURL(/#waiting$/)
    await settled(page)
    const lists = page.locator('#waiting table')
    assert.equal((await cells(lists.first())).length, rows.length)
    assert.match(await lists.nth(1).innerText(), /Not known of these yet[^]*Unread acme\/api#4711/)
    await inEachLook(page, async (look) => assert.deepEqual(await violations(page), [], look))
    assert.deepEqual(problems, [])
    await context.close()
  })

  test('is not asked for without the right to see lists', async () => {
    const me = await ask('me')
    const routes = { '**/v1/me': json({ ...me, data: { ...me.data, scopes: ['metrics:read'] } }) }
    const { context, page } = await open(browser, 'data', { routes })
    const asked = []
    page.on('request', (request) => request.url().includes('/waiting') && asked.push(request.url()))
    for (const screen of ['overview?team=payments', 'delivery?team=payments']) {
      await page.goto(`${URL_OF_DEMO}/v1/app/#/${screen}`)
      await settled(page)
    }
    assert.match(await page.locator('#waiting').innerText(), /prs:read/)
    assert.deepEqual(asked, [])
    await context.close()
  })
})

describe('public repositories', () => {
  test('are beside a team only when asked for, which the address says', async () => {
    const { context, page, problems } = await open(browser, 'lead-time?team=payments')
    const { data } = await ask('benchmarks')
    assert.doesNotMatch(await page.locator('main, .screen').first().innerText(), new RegExp(data.repositories[0].repository))
    await page.getByRole('button', { name: 'Beside public repositories' }).click()
    await page.waitForURL(/benchmark=public/)
    await settled(page)
    const block = page.locator('.block', { hasText: 'Beside public repositories' })
    assert.match(await block.innerText(), /They are not companies/)
    const rows = await cells(block.locator('table'))
    const { data: lead } = await ask('metrics/team/payments/lead-time?last=P12W')
    assert.deepEqual(rows.map((row) => row[2]), [number(lead.total.prs_merged), ...data.repositories.map((it) => number(it.n))])
    assert.ok(rows[1][0].startsWith(data.repositories[0].repository), rows[1][0])
    await inEachLook(page, async (look) => assert.deepEqual(await violations(page), [], look))
    await block.getByRole('button', { name: 'Hide' }).click()
    await page.getByRole('button', { name: 'Beside public repositories' }).waitFor()
    assert.deepEqual(problems, [])
    await context.close()
  })

  test('stand below the weeks of a team, whose counts lead to their lists', async () => {
    const { context, page } = await open(browser, 'lead-time?team=payments')
    const block = page.locator('.block', { hasText: 'Opening to merge' })
    await block.getByText('Table', { exact: true }).click()
    const counts = block.locator('tbody td:nth-child(2) a')
    assert.ok((await counts.count()) > 0, 'each count is a link')
    const said = await counts.first().innerText()
    await counts.first().click()
    await page.getByText(new RegExp(`^${said} pull requests? counts?`)).first().waitFor()
    await context.close()
  })
})
