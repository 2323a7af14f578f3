// Screens that show no numbers, or not all: as free of barriers as those that do.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { altered, blank, inEachLook, json, launch, open, sideways, violations, SCREENS, URL_OF_DEMO } from './page.mjs'

/** Everything but who asks, and which teams there are. */
const NUMBERS = '**/v1/{metrics/**,deployments?*,incidents?*,services,state,coverage,definitions}'
const refused = json({ error: { code: 'internal', message: 'Something failed.', details: [], trace_id: 'trace-1' } }, 500)
let browser
before(async () => (browser = await launch()))
after(async () => browser?.close())

/** Looks for barriers, and for what is wider than the window. */
async function hasNoBarriers({ context, page, problems }) {
  await inEachLook(page, async (look) => {
    assert.deepEqual(await violations(page), [], look)
    assert.equal(await sideways(page), 0, `${look}: pixels`)
  })
  assert.deepEqual(problems, [])
  await context.close()
}

/** Changes every part of an answer that has a field. */
function each(part, field, change) {
  if (part === null || typeof part !== 'object') return
  if (field in part) change(part)
  for (const inner of Object.values(part)) each(inner, field, change)
}
/** Takes all durations away, as for a group that is too small. */
const hideDurations = (part) => {
  part.suppressed = true
  for (const inner of [part.cycle_time, ...Object.values(part.phases ?? {})]) {
    for (const name of Object.keys(inner ?? {})) if (name.endsWith('_hours')) inner[name] = null
  }
}

// Two at a time: where something fails, the page tries again for some seconds.
describe('without barriers in light and in dark, wide and on a phone', { concurrency: 2 }, () => {
  for (const screen of SCREENS.filter((it) => !it.includes('?'))) {
    test(`${screen}: while it is loading`, async () => {
      const opened = await blank(browser)
      await opened.page.route(NUMBERS, () => {})
      await opened.page.goto(`${URL_OF_DEMO}/v1/app/#/${screen}`)
      await opened.page.locator('main h1').waitFor()
      await opened.page.locator('.skeleton').first().waitFor()
      await hasNoBarriers(opened)
    })

    test(`${screen}: when the server fails`, async () => {
      const opened = await open(browser, screen, { routes: { [NUMBERS]: refused } })
      const alert = opened.page.getByRole('alert').first()
      assert.match(await alert.innerText(), /Something failed\.[\s\S]*internal[\s\S]*trace-1[\s\S]*Try again/)
      await opened.page.locator('.skeleton').first().waitFor({ state: 'detached' })
      await hasNoBarriers(opened)
    })
  }

  test('when the server fails altogether', async () => {
    const opened = await open(browser, 'overview', { routes: { '**/v1/{me,teams,metrics/**}': refused } })
    await opened.page.getByRole('alert').getByText('Something failed.').first().waitFor()
    await hasNoBarriers(opened)
  })

  for (const [screen, text] of [
    ['overview?base=nowhere', /Merged[^0-9]*[\s\S]*\b0\b[\s\S]*none/],
    ['lead-time?base=nowhere', /No pull request was merged in these days\./],
    ['pull-requests?base=nowhere', /There is no pull request in these days\./],
    ['delivery?service=acme.legacy', /No deployment to production is known in these days\./],
  ]) {
    test(`${screen}: with nothing to show`, async () => {
      const opened = await open(browser, screen)
      assert.match(await opened.page.locator('main').innerText(), text)
      await hasNoBarriers(opened)
    })
  }

  test('services: before anything is collected', async () => {
    const opened = await open(browser, 'services', { routes: { '**/v1/{services,state}': json({ data: [], meta: { count: 0 }, trace_id: 't' }) } })
    await opened.page.getByText('No repository was collected yet.').waitFor()
    await hasNoBarriers(opened)
  })

  test('before there are teams', async () => {
    const opened = await open(browser, 'overview', { routes: { '**/v1/teams': json({ data: [], meta: { count: 0 }, trace_id: 't' }) } })
    await opened.page.getByText('No teams yet').waitFor()
    await hasNoBarriers(opened)
  })

  // Long before the first day that the demo has read.
  const UNREAD = 'from=2020-01-06&to=2020-02-03'
  for (const [screen, text] of [
    [`overview?${UNREAD}`, /not read[\s\S]*Grey: nothing was read\./],
    [`lead-time?${UNREAD}`, /Nothing of these days was read\./],
    [`pull-requests?${UNREAD}`, /Nothing of these days was read\./],
    [`delivery?${UNREAD}`, /not known/],
    [`teams?${UNREAD}`, /not read/],
  ]) {
    test(`${screen.split('?')[0]}: of days that were not read`, async () => {
      const opened = await open(browser, screen)
      assert.match(await opened.page.locator('main').innerText(), text)
      await hasNoBarriers(opened)
    })
  }

  for (const screen of ['overview', 'lead-time', 'teams']) {
    test(`${screen}: where durations of small groups are hidden`, async () => {
      const hidden = altered((answer) => {
        each(answer.data, 'suppressed', hideDurations)
        each(answer.data, 'change', (part) => (part.change = null))
        answer.meta.min_group_size = 4
      })
      const opened = await open(browser, screen, { routes: { '**/v1/metrics/**': hidden } })
      assert.match(await opened.page.locator('main').innerText(), /hidden/i)
      await hasNoBarriers(opened)
    })
  }
})
