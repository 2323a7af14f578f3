import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { altered, ask, blank, inEachLook, inFront, json, kept, launch, open, settled, sideways, violations, waitUntilForgotten, waitUntilKept, SCREENS, URL_OF_DEMO } from './page.mjs'

let browser
before(async () => (browser = await launch()))
after(async () => browser?.close())

// Two at a time: most of it is the processor's time.
describe('every screen', { concurrency: 2 }, () => {
  for (const [name, options] of [
    ['light', {}],
    ['dark', { dark: true }],
    ['on a phone', { viewport: { width: 360, height: 800 } }],
    // As a window of 1280 by 1024 pixels shows it.
    ['at 400 %', { viewport: { width: 320, height: 256 } }],
  ]) {
    for (const screen of SCREENS) {
      test(`${screen}, ${name}: shows numbers without errors, barriers or sideways scrolling`, async () => {
        const { context, page, problems } = await open(browser, screen, options)
        assert.ok((await page.locator('main h1').count()) === 1, 'one heading')
        assert.equal(await page.locator('.skeleton').count(), 0, 'nothing is still loading')
        assert.equal(await page.getByRole('alert').count(), 0, 'nothing failed')
        assert.deepEqual(await violations(page), [])
        assert.equal(await sideways(page), 0, 'pixels')
        assert.deepEqual(problems, [])
        await context.close()
      })
    }
  }
})

describe('on paper', () => {
  for (const [format, width] of [['A4', 595], ['Letter', 612]]) {
    for (const screen of ['overview', 'delivery', 'pull-requests']) {
      test(`${screen} on ${format} has all numbers, no controls, and nothing beside the page`, async () => {
        const { context, page } = await open(browser, screen)
        const numbers = await page.locator('.tile .value').allInnerTexts()
        await page.emulateMedia({ media: 'print' })
        // The margins are 14 mm on both sides; a point is 1/72 inch, and 4/3 pixels.
        await page.setViewportSize({ width: Math.floor(((width - (2 * 14 * 72) / 25.4) * 4) / 3), height: 900 })
        assert.equal(await sideways(page), 0, 'pixels')
        // A heading that sorts is a heading on paper.
        for (const control of await page.locator('button:not(th button), select, input, nav').all()) assert.equal(await control.isVisible(), false, await control.innerText())
        assert.deepEqual(await page.locator('.tile .value').allInnerTexts(), numbers)
        const pdf = await page.pdf({ format, preferCSSPageSize: false })
        const box = /MediaBox ?\[ ?0 0 ([0-9.]+) /.exec(pdf.toString('latin1'))
        assert.ok(Math.abs(Number(box?.[1]) - width) <= 1, `${box?.[1]} points`)
        await context.close()
      })
    }
  }

  test('is light even when the screen is dark', async () => {
    const colors = (page) => page.evaluate(() => ['body', 'h1', 'a[href]', '.bar', '.block', '.phase-coding'].map((it) => {
      const style = getComputedStyle(document.querySelector(it))
      return [it, style.color, style.backgroundColor, style.fill, style.borderTopColor]
    }))
    const { context, page } = await open(browser, 'overview')
    await page.emulateMedia({ media: 'print', colorScheme: 'light' })
    const light = await colors(page)
    await page.emulateMedia({ media: 'screen', colorScheme: 'dark' })
    assert.notDeepEqual(await colors(page), light, 'the screen')
    await page.emulateMedia({ media: 'print', colorScheme: 'dark' })
    assert.deepEqual(await colors(page), light)
    await context.close()
  })
})

describe('beside a year before', () => {
  for (const screen of ['overview', 'teams']) {
    test(`${screen} compares with the same days of the week, and the choice is in the address`, async () => {
      const asked = []
      const earlier = async (route) => {
        const query = new URL(route.request().url()).searchParams
        if (!query.has('from')) return route.continue()
        asked.push([query.get('from'), query.get('to')])
        // The demo is younger: its numbers now, as if they were of then.
        const answer = await ask(new URL(route.request().url()).pathname.replace('/v1/', ''))
        for (const one of answer.data.teams ?? [answer.data]) one.period = { ...one.period, from: query.get('from'), to: query.get('to'), prs_merged: one.period.prs_merged - 2 }
        return route.fulfill({ json: answer })
      }
      const { context, page, problems } = await open(browser, screen, { routes: { '**/summary*': earlier } })
      await page.getByRole('button', { name: /^Filters/ }).click()
      await page.getByLabel('Compare with').selectOption('year')
      await page.getByRole('button', { name: 'Apply' }).click()
      await page.getByText('2 more than in the same 4 weeks a year before').first().waitFor()
      assert.match(page.url(), /with=year/)
      const { data } = await ask('metrics/team/payments/summary')
      const year = (day) => new Date(Date.parse(day) - 364 * 86_400_000).toISOString().slice(0, 10)
      assert.deepEqual(asked[0], [year(data.period.from), year(data.period.to)])
      assert.deepEqual([await violations(page), problems], [[], []])
      await context.close()
    })
  }
})

describe('numbers', () => {
  test('what is clicked adds up to the number', async () => {
    const { context, page } = await open(browser, 'overview')
    const { data } = await ask('metrics/team/payments/summary')
    const tile = page.locator('.tile').first()
    assert.equal(await tile.locator('.value').innerText(), String(data.period.prs_merged))
    await tile.locator('.value a').click()
    await page.getByText(`${data.period.prs_merged} pull requests count`).waitFor()
    assert.match(await page.locator('.screen > header').innerText(), new RegExp(`add up to ${data.period.prs_merged_weighted}[;.\\s]`))
    await context.close()
  })

  test('chart, table and API say the same', async () => {
    const { context, page } = await open(browser, 'overview')
    const { data } = await ask('metrics/team/payments/velocity?last=P12W')
    const block = page.locator('.block', { hasText: 'Merged' }).first()
    await block.getByText('Table', { exact: true }).click()
    const table = block.locator('tbody tr')
    await table.first().waitFor()
    const merged = await table.evaluateAll((rows) => rows.map((row) => row.querySelectorAll('td')[0].textContent))
    assert.deepEqual(merged.map(Number), data.buckets.map((bucket) => bucket.prs_merged))
    const chart = page.getByRole('group', { name: 'Pull requests merged' })
    await chart.focus()
    for (const bucket of data.buckets) {
      await page.keyboard.press('ArrowRight')
      const said = await page.locator('.block', { hasText: 'Merged' }).first().locator('.chart-value').innerText()
      assert.match(said, new RegExp(`: ${bucket.prs_merged} pull requests? merged`))
    }
    await context.close()
  })

  test('a bar leads by keyboard to the days that it is about, and Back returns', async () => {
    const { context, page } = await open(browser, 'overview')
    const { data } = await ask('metrics/team/payments/velocity?last=P12W')
    await page.getByRole('group', { name: 'Pull requests merged' }).focus()
    await page.keyboard.press('Home')
    await page.keyboard.press('Enter')
    await page.getByText(`${data.buckets[0].prs_merged} pull requests count`).waitFor()
    assert.ok(page.url().includes(`from=${data.buckets[0].start}`), page.url())
    await page.goBack()
    await page.getByRole('heading', { name: 'Payments', exact: true }).waitFor()
    await context.close()
  })

  for (const [screen, least] of [['overview', 3], ['delivery', 1], ['teams', 6]]) {
    test(`each number of pull requests on ${screen} leads to as many`, async () => {
      const { context, page } = await open(browser, screen)
      const numbers = await page.locator('.tile, dl.facts > div').evaluateAll((places) =>
        places.flatMap((place) => {
          const link = place.querySelector('.value a, dd > a, dd > span > a')
          if (!link?.hash.startsWith('#/pull-requests')) return []
          const amount = link.textContent.trim()
          // A duration says beside it of how many it is.
          const n = /^[0-9,]+$/.test(amount) ? amount : /([0-9,]+) delivered/.exec(place.innerText)?.[1] ?? /of ([0-9,]+) pull request/.exec(place.innerText)?.[1]
          return [{ hash: link.hash, n }]
        }),
      )
      const known = numbers.filter((it) => it.n !== undefined)
      assert.ok(known.length >= least, JSON.stringify(numbers))
      for (const { hash, n } of known) {
        await page.goto(`${URL_OF_DEMO}/v1/app/${hash}`)
        await settled(page)
        const said = await page.locator('.screen > header').innerText()
        assert.match(said, new RegExp(`(^|\\n)${n} pull requests? (counts?|open now)\\b`), hash)
      }
      await context.close()
    })
  }

  test('a table of a chart is the file that the API gives', async () => {
    const { context, page } = await open(browser, 'overview')
    const block = page.locator('.block', { hasText: 'Merged' }).first()
    await block.getByText('Table', { exact: true }).click()
    const [download] = await Promise.all([page.waitForEvent('download'), block.getByRole('button', { name: 'Download as CSV' }).click()])
    const chunks = []
    for await (const chunk of await download.createReadStream()) chunks.push(chunk)
    const answer = await fetch(`${URL_OF_DEMO}/v1/metrics/team/payments/velocity?last=P12W&format=csv`)
    assert.equal(Buffer.concat(chunks).toString(), await answer.text())
    await context.close()
  })

  test('of a long list, the rows on the screen are in the document, down to the last one', async () => {
    const list = await ask('metrics/team/payments/pull-requests?last=P12W')
    const [some] = list.data.pull_requests.filter((it) => it.counts)
    const rows = Array.from({ length: 900 }, (_, index) => ({ ...some, number: index, url: `${some.url}${index}`, title: `Change ${String(index).padStart(4, '0')}` }))
    const routes = { '**/pull-requests?*': json({ ...list, data: { ...list.data, pull_requests: rows }, meta: { ...list.meta, next_cursor: null } }) }
    const { context, page } = await open(browser, 'pull-requests?sort=a-to-z', { routes })
    const drawn = page.locator('.rows tbody tr[role="row"]')
    assert.ok((await drawn.count()) < 60, `${await drawn.count()} rows`)
    await page.locator('.rows').evaluate((frame) => frame.scrollTo(0, frame.scrollHeight))
    await page.getByText('Change 0899').waitFor()
    assert.ok((await drawn.count()) < 60, `${await drawn.count()} rows`)
    assert.equal(await drawn.last().getAttribute('aria-rowindex'), '901')
    await page.locator('.rows').evaluate((frame) => frame.scrollTo(0, 0))
    await page.getByText('Change 0000').waitFor()
    await context.close()
  })

  test('all pages of a table are one file', async () => {
    const { context, page } = await open(browser, 'pull-requests?team=payments')
    const { data } = await ask('metrics/team/payments/pull-requests?last=P12W&limit=1000')
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download as CSV' }).click()])
    const chunks = []
    for await (const chunk of await download.createReadStream()) chunks.push(chunk)
    const lines = Buffer.concat(chunks).toString().trim().split('\n')
    assert.equal(lines.length - 1, data.pull_requests.length)
    assert.ok(lines[0].startsWith('repository,number,title'))
    await context.close()
  })
})

describe('a new version', () => {
  test('is loaded when a part of the old one is gone, and not again and again', async () => {
    const { context, page } = await open(browser, 'overview?team=payments')
    let failed = 0
    await page.route('**/assets/rest-*.js', (route) => {
      failed += 1
      return route.fulfill({ status: 404 })
    })
    let loads = 0
    page.on('load', () => (loads += 1))
    await page.reload()
    await page.waitForFunction(() => sessionStorage.getItem('mergeline.reloaded') !== null)
    await page.getByRole('heading', { name: 'Payments', exact: true }).waitFor()
    await settled(page)
    assert.equal(loads, 2, 'it is loaded again once')
    await page.getByRole('navigation').getByRole('link', { name: 'Teams' }).click()
    await page.waitForLoadState('networkidle')
    assert.ok(failed >= 2, 'the part is asked for again')
    assert.equal(loads, 2, 'it was loaded within this minute')
    await context.close()
  })
})

describe('the first screen', () => {
  test('asks for its numbers before the page itself has arrived, and each only once', async () => {
    const { context, page, problems } = await blank(browser)
    const asked = []
    page.on('request', (request) => request.url().includes('/v1/') && !request.url().includes('/app/') && asked.push(request.url().replace(/.*\/v1\//, '')))
    const isAsked = page.waitForRequest(/velocity/)
    await page.route('**/assets/app-*.js', async (route) => {
      await isAsked
      return route.continue()
    })
    await page.goto(`${URL_OF_DEMO}/v1/app/#/overview?last=P4W`)
    await settled(page)
    const first = ['teams', 'me', 'metrics/team/payments/summary?last=P4W', 'metrics/team/payments/velocity?last=P4W']
    assert.deepEqual(asked.filter((it) => first.includes(it)).sort(), [...first].sort())
    assert.deepEqual(problems, [])
    await context.close()
  })
})

describe('insight', () => {
  test('says what is likely next, as the API does, and when so many will be merged', async () => {
    const { context, page, problems } = await open(browser, 'insight')
    const { data } = await ask('metrics/team/payments/forecast?count=20')
    const ahead = data.forecast.totals.at(-1)
    const [least, half] = [ahead.p15, ahead.p50].map(Math.floor)
    const block = page.locator('.block', { hasText: 'What is likely next' })
    assert.match(await block.innerText(), new RegExp(`In 12 weeks, before .*: ${least} pull requests or more will be merged with a probability of 85%, ${half} or more with one of 50%`))
    await block.getByLabel('When will so many be merged?').fill('20')
    await block.getByRole('button', { name: 'Show' }).click()
    await block.getByText(/^20 pull requests: /).waitFor()
    assert.match(page.url(), /count=20/)
    const says = await block.getByText(/^20 pull requests: /).innerText()
    assert.ok(says.includes(`(${data.forecast.done.weeks_50} week`), says)
    assert.deepEqual(problems, [])
    await context.close()
  })

  test('says how each goal stands, as the API does, week by week', async () => {
    const { context, page, problems } = await open(browser, 'insight?team=web')
    const { data } = await ask('teams/web/goals')
    assert.ok(data.goals.length >= 3, 'the demo has goals')
    const said = { met: 'met', missed: 'missed', inconclusive: 'inconclusive', too_few: 'too few to tell', incomplete: 'not fully read' }
    const sections = page.locator('.goal')
    assert.equal(await sections.count(), data.goals.length)
    for (const [index, goal] of data.goals.entries()) {
      const section = sections.nth(index)
      const state = await section.locator('strong').innerText()
      assert.equal(state.toLowerCase(), `${said[goal.state]}.`, goal.id)
      await section.locator('summary').click()
      const states = await section.locator('details tbody tr td:nth-child(2)').allInnerTexts()
      assert.deepEqual(states, goal.weeks.map((week) => said[week.state]), goal.id)
      const late = await section.locator('table').filter({ hasText: 'Too long since' }).locator('tbody tr').count()
      assert.equal(late, goal.open?.late?.length ?? 0, goal.id)
    }
    const { last } = data.goals.find((goal) => goal.revisions[0].goal.form === 'share')
    const { numbers } = last
    const percent = (value) => new Intl.NumberFormat('en-US', { style: 'percent', maximumFractionDigits: 1 }).format(value)
    const text = await page.locator('.goal', { hasText: 'Goal: 80% get their first review within 8 hours' }).innerText()
    assert.ok(text.includes(`${percent(numbers.share)} of ${numbers.n} in the four weeks`), text)
    assert.deepEqual(problems, [])
    await context.close()
  })

  test('says where time goes, as the API does', async () => {
    const { context, page, problems } = await open(browser, 'insight?team=web')
    const { data } = await ask('metrics/team/web/time')
    const percent = (value) => new Intl.NumberFormat('en-US', { style: 'percent', maximumFractionDigits: 1 }).format(value)
    const block = page.locator('.block', { hasText: 'Where time goes' })
    const rows = (heading) => block.locator('table', { has: page.getByRole('columnheader', { name: heading, exact: true }) }).locator('tbody tr')
    const cells = async (heading) => {
      const all = []
      for (const row of await rows(heading).all()) all.push(await row.locator('td').allInnerTexts())
      return all
    }
    const { phases, n } = data.until_production
    assert.deepEqual(await cells('Phase'), phases.map((it) => [percent(it.share), percent(it.median_share)]))
    assert.match(await block.innerText(), new RegExp(`Of ${data.prs_merged} pull requests merged .*, ${n} have every phase up to production`))
    const sizes = data.size_effect.classes.filter((it) => it.n > 0)
    assert.deepEqual((await cells('Lines')).map(([merged]) => Number(merged)), sizes.map((it) => it.n))
    const open_ = data.wip_age.open
    assert.ok(open_.length > 0, 'the demo has open pull requests')
    assert.deepEqual(await rows('Pull request').locator('a').allInnerTexts(), open_.map((it) => `${it.repository}#${it.number}`))
    assert.deepEqual((await cells('Pull request')).map((row) => row[2]), open_.map((it) => percent(it.older_than)))
    await block.getByRole('link', { name: `${data.prs_merged} pull requests` }).click()
    await page.getByText(`${data.prs_merged} pull requests count`).waitFor()
    assert.deepEqual(problems, [])
    await context.close()
  })

  test('shows the metrics of the teams file, as the API does, and the lines of a new one', async () => {
    const { context, page, problems } = await open(browser, 'insight?team=web')
    const { data } = await ask('metrics/team/web/custom')
    assert.deepEqual(data.metrics.map((it) => it.slug), ['same-day', 'large-pickup'], 'the demo has metrics')
    const percent = (value) => new Intl.NumberFormat('en-US', { style: 'percent', maximumFractionDigits: 1 }).format(value)
    const [share] = data.metrics
    const section = page.locator('.own', { hasText: share.name })
    assert.ok((await section.innerText()).includes(share.formula))
    await section.locator('summary').click()
    await section.locator('tbody tr').first().waitFor()
    const values = await section.locator('tbody tr td:nth-child(2)').allInnerTexts()
    assert.deepEqual(values, share.buckets.map((it) => (it.value === null ? 'none' : percent(it.value))))
    await page.getByText('Define a metric').click()
    const form = page.locator('.metric-form')
    await form.getByLabel('Id', { exact: true }).fill('large-share')
    await form.getByLabel('Statistic').selectOption('share')
    await form.getByRole('button', { name: 'Add a condition' }).click()
    await form.getByLabel('Field').selectOption('lines')
    await form.getByLabel('Value').fill('400')
    const lines = await form.locator('pre').innerText()
    assert.equal(lines, 'metrics:\n  - id: large-share\n    of: pull_requests\n    statistic: share\n    when: { lines: { at_least: 400 } }\n    than: {}\n    by: week')
    await inEachLook(page, async (look) => assert.deepEqual(await violations(page), [], look))
    assert.deepEqual(problems, [])
    await context.close()
  })

  test('draws the hours of opening that have enough, hides what is hidden, and says what is missing', async () => {
    const change = ({ data }) => {
      data.pickup_calendar.cells = [
        { weekday: 1, hour: 9, n: 8, pickup_p50_hours: 2 },
        { weekday: 5, hour: 16, n: 6, pickup_p50_hours: 60 },
      ]
      Object.assign(data.size_effect.classes[0], { n: 3, n_pickup: 3, n_review: 2, pickup_p50_hours: null, review_p50_hours: null, is_suppressed: true })
      for (const shares of [data.until_merge, data.until_production]) shares.n_hidden = 4
      data.investment = { definition: 'investment@1', categories: [{ category: 'features', n: 3, weight: 2.5, share: 0.625 }, { category: null, n: 2, weight: 1.5, share: 0.375 }] }
      data.wip_age.open = null
    }
    const { context, page, problems } = await open(browser, 'insight?team=web', { routes: { '**/team/web/time*': altered(change) } })
    const table = page.locator('.calendar')
    assert.deepEqual(await table.locator('thead th').allInnerTexts(), ['Opened', '9:00', '16:00'])
    const shown = async (day) => table.locator('tr', { has: page.getByRole('rowheader', { name: day }) }).locator('td').allInnerTexts()
    assert.deepEqual([await shown('Monday'), await shown('Tuesday'), await shown('Friday')], [['2 h', ''], ['', ''], ['', '2.5 d']])
    const block = page.locator('.block', { hasText: 'Where time goes' })
    const text = await block.innerText()
    for (const said of ['4 of weeks of few people', 'up to 10\t3\thidden\thidden', 'features\t3\t62.5%', 'Uncategorized\t2\t37.5%', 'prs:read']) assert.ok(text.includes(said), `${said}: ${text}`)
    await inEachLook(page, async (look) => assert.deepEqual(await violations(page), [], look))
    assert.deepEqual(problems, [])
    await context.close()
  })

  test('draws each known week and the limits of a baseline, and leads to the week', async () => {
    const { context, page } = await open(browser, 'insight')
    const { data } = await ask('metrics/team/payments/change')
    const known = data.merged.weeks.filter((week) => week.value !== null)
    const chart = page.getByRole('group', { name: 'Pull requests merged by week' })
    await chart.focus()
    const said = []
    for (const _ of known) {
      await page.keyboard.press('ArrowRight')
      said.push(Number(/: (\d+)/.exec(await page.locator('.block', { hasText: 'Merged by week' }).locator('.chart-value').innerText())?.[1]))
    }
    assert.deepEqual(said, known.map((week) => week.value))
    assert.equal(await chart.locator('.limit').count(), 2 * data.merged.baselines.length)
    await page.keyboard.press('Enter')
    await page.getByText(`${known.at(-1).value} pull requests count`).waitFor()
    await context.close()
  })
})

describe('the address', () => {
  test('has all state: a copied one shows the same', async () => {
    const { context, page } = await open(browser, 'overview')
    await page.getByRole('button', { name: /^Days/ }).click()
    await page.getByRole('button', { name: 'Last 26 weeks' }).click()
    await page.getByRole('combobox', { name: 'Team' }).selectOption('web')
    await page.waitForLoadState('networkidle')
    const copied = await context.newPage()
    await copied.goto(page.url())
    await copied.getByRole('heading', { name: 'Web', exact: true }).waitFor()
    assert.equal(await copied.getByRole('button', { name: /^Days/ }).innerText(), 'Last 26 weeks')
    await context.close()
  })

  test('has the order of a list: Back and a copied one keep it', async () => {
    const { context, page } = await open(browser, 'pull-requests?team=payments&state=merged')
    const first = () => page.locator('.rows tbody tr[role="row"] a').first().innerText()
    const newest = await first()
    await page.getByRole('button', { name: /^Pull request/ }).click()
    await page.waitForURL(/sort=a-to-z/)
    const title = await first()
    await page.getByRole('button', { name: /^Opening to merge/ }).click()
    await page.waitForURL(/sort=longest/)
    await page.goBack()
    await page.waitForURL(/sort=a-to-z/)
    assert.equal(await first(), title)
    const copied = await context.newPage()
    await copied.goto(page.url())
    await copied.locator('.rows tbody tr[role="row"] a').first().waitFor()
    assert.equal(await copied.locator('.rows tbody tr[role="row"] a').first().innerText(), title)
    await page.goBack()
    await page.locator('th[aria-sort="descending"]', { hasText: 'Merged' }).waitFor()
    assert.equal(await first(), newest)
    await context.close()
  })

  test('leads to a team that does not exist, which is said', async () => {
    const { context, page } = await open(browser, 'overview?team=nobody')
    await page.getByText('There is no team “nobody”').waitFor()
    await context.close()
  })

  test('of the server leads to the page', async () => {
    for (const path of ['/', '/v1', '/v1/', '/v1/app']) {
      const response = await fetch(URL_OF_DEMO + path, { redirect: 'manual' })
      assert.deepEqual([response.status, response.headers.get('location')], [307, '/v1/app/'], path)
    }
    assert.equal((await fetch(`${URL_OF_DEMO}/v1/app/overview`)).status, 404, 'a screen is behind #')
  })
})

describe('delivery', () => {
  test('stands beside the days before, a year before, or none', async () => {
    const { context, page } = await open(browser, 'delivery?last=P4W')
    const { data, meta } = await ask('metrics/team/payments/dora?last=P4W')
    const tile = page.locator('.tile').first()
    const days = (count) => new Date(Date.parse(meta.range.from) - count * 86_400_000).toISOString().slice(0, 10)
    const length = (Date.parse(meta.range.to) - Date.parse(meta.range.from)) / 86_400_000
    const earlier = await ask(`metrics/team/payments/dora?from=${days(length)}&to=${meta.range.from}`)
    assert.ok(data.total.deployment_frequency.n > 0 && earlier.data.total.deployment_frequency.n > 0, 'the demo deployed in both')
    const perWeek = new Intl.NumberFormat('en-US', { maximumFractionDigits: 1 }).format(earlier.data.total.deployment_frequency.per_day * 7)
    assert.match(await tile.innerText(), new RegExp(`In the ${length % 7 === 0 ? `${length / 7} weeks` : `${length} days`} before: ${perWeek}/week`))
    await page.goto(`${URL_OF_DEMO}/v1/app/#/delivery?last=P4W&with=none`)
    await settled(page)
    assert.doesNotMatch(await page.locator('main').innerText(), /In the .* before/)
    await page.goto(`${URL_OF_DEMO}/v1/app/#/delivery?last=P4W&with=year`)
    await page.getByText(/Not compared: the same .* a year before were not read completely/).waitFor()
    await context.close()
  })

  test('shows the deployments to an environment, and counts failures by the reasons that are chosen', async () => {
    const asked = []
    const { context, page } = await open(browser, 'delivery')
    page.on('request', (request) => asked.push(decodeURIComponent(request.url())))
    await page.getByRole('button', { name: /^Filters/ }).click()
    await page.getByRole('textbox', { name: 'Deployments to' }).fill('staging')
    for (const reason of ['an incident', 'reverted', 'failed afterwards', 'declared as failed']) await page.getByLabel(reason, { exact: true }).uncheck()
    await page.getByRole('button', { name: 'Apply' }).click()
    await page.getByRole('heading', { name: 'Deployments to staging' }).waitFor()
    await settled(page)
    assert.match(page.url(), /environment=staging/)
    assert.match(page.url(), /failures=rolled_back/)
    assert.ok(asked.some((it) => /deployments\?.*environment=staging/.test(it)), asked.join('\n'))
    const { data } = await ask('metrics/team/payments/dora?last=P12W&failures=rolled_back')
    const rate = new Intl.NumberFormat('en-US', { style: 'percent', maximumFractionDigits: 1 }).format(data.total.change_fail_rate.rate)
    assert.equal(await page.locator('.tile').nth(2).locator('.value').innerText(), rate)
    await context.close()
  })

  test('what is merged and not in production leads to a list of as many, for each reason', async () => {
    const { context, page } = await open(browser, 'delivery?team=payments')
    const { data } = await ask('metrics/team/payments/dora?last=P12W')
    const links = page.locator('a[href*="missing="]')
    const found = Object.entries(data.total.not_delivered).filter(([, count]) => count.n > 0)
    assert.ok(found.length > 0 && (await links.count()) === found.length, JSON.stringify(found))
    for (const [reason, count] of found) {
      const link = page.locator(`a[href*="missing=${reason}"]`)
      assert.ok((await link.innerText()).startsWith(`${count.n} pull request`), reason)
      await link.click()
      await page.getByText('Only those that are not in production are listed').waitFor()
      const rows = page.locator('table[aria-rowcount]')
      await page.locator('.rows a').first().waitFor()
      assert.equal(Number(await rows.getAttribute('aria-rowcount')) - 1, count.n, reason)
      await page.getByRole('button', { name: 'List all' }).click()
      await page.waitForFunction((few) => Number(document.querySelector('table[aria-rowcount]')?.ariaRowCount) - 1 > few, count.n)
      await page.goBack()
      await page.goBack()
      await link.waitFor()
    }
    await context.close()
    const ofService = await open(browser, 'delivery?team=payments&service=storefront')
    assert.equal(await ofService.page.locator('a[href*="missing="]').count(), 0, 'a service has no list of pull requests')
    await ofService.context.close()
  })

  test('each metric leads to its list, which has as many rows, and Back returns', async () => {
    const { context, page, problems } = await open(browser, 'delivery?team=payments')
    const { data } = await ask('metrics/team/payments/dora?last=P12W')
    for (const [tile, list, n] of [
      ['Deployments that failed', 'failed', data.total.change_fail_rate.failed.n],
      ['Unplanned rework', 'rework', data.total.rework_rate.rework.n],
    ]) {
      await page.locator('.tile', { has: page.getByRole('heading', { name: tile, exact: true }) }).locator('.value a').click()
      assert.equal(await page.locator(`#${list} tbody tr`).count(), n, tile)
      assert.equal(await page.evaluate(() => document.activeElement?.id), list)
      assert.ok(page.url().endsWith(`#${list}`), page.url())
    }
    await page.goBack()
    assert.ok(page.url().endsWith('#failed'), page.url())
    assert.deepEqual(problems, [])
    await context.close()
  })

  test('time to recover has its incidents, with the deployments that they belong to', async () => {
    const { context, page } = await open(browser, 'delivery?team=payments#incidents')
    const { data } = await ask('incidents?team=payments&last=P12W')
    const rows = page.locator('#incidents tbody tr')
    await rows.first().waitFor()
    assert.equal(await rows.count(), data.length)
    assert.match(await rows.first().innerText(), /Issue \d+[\s\S]*resolved/)
    await page.waitForFunction(() => document.activeElement?.id === 'incidents')
    await context.close()
  })

  test('all pages of the deployments are read', async () => {
    const answer = await ask('deployments?team=payments&last=P12W&limit=1000')
    const half = Math.floor(answer.data.length / 2)
    const { context, page } = await open(browser, 'delivery?team=payments', {
      routes: {
        '**/v1/deployments?*': (route) => {
          const isSecond = new URL(route.request().url()).searchParams.get('cursor') === 'second'
          const data = isSecond ? answer.data.slice(half) : answer.data.slice(0, half)
          return json({ ...answer, data, meta: { ...answer.meta, next_cursor: isSecond ? null : 'second' } })(route)
        },
      },
    })
    await page.locator('#deployments').getByText('Table', { exact: true }).click()
    await page.locator('#deployments tbody tr').first().waitFor()
    assert.equal(await page.locator('#deployments tbody tr').count(), answer.data.length)
    await context.close()
  })
})

describe('without the permission to see pull requests', () => {
  for (const screen of ['overview', 'lead-time', 'pull-requests']) {
    test(`${screen} says so, and asks nothing that is refused`, async () => {
      const asked = []
      const me = { data: { name: 'viewer', scopes: ['metrics:read'], teams: null, session_ends_at: null }, meta: { version: '1' }, trace_id: 't' }
      const { context, page, problems } = await open(browser, screen, {
        routes: {
          '**/v1/me': json(me),
          '**/pull-requests?*': (route) => {
            asked.push(route.request().url())
            return json({ error: { code: 'forbidden', message: 'No.', details: [], trace_id: 't' } }, 403)(route)
          },
        },
      })
      await page.getByText('This needs the permission to see single pull requests').waitFor()
      assert.equal(await page.getByRole('alert').count(), 0)
      assert.equal(await page.locator('main a[href*="pull-requests"]').count(), 0, 'links to lists')
      assert.deepEqual(asked, [])
      assert.deepEqual(await violations(page), [])
      assert.deepEqual(problems, [])
      await context.close()
    })
  }
})

describe('what goes wrong', () => {
  test('says what, with the code and the trace, and can be tried again', async () => {
    const error = { error: { code: 'unavailable', message: 'The database cannot be reached.', details: [], trace_id: 'trace-1' } }
    let isDown = true
    const { context, page } = await open(browser, 'overview', {
      routes: { '**/velocity*': (route) => (isDown ? json(error, 400)(route) : route.continue()) },
    })
    const alert = page.getByRole('alert').first()
    await alert.waitFor()
    assert.match(await alert.innerText(), /The database cannot be reached\.[\s\S]*unavailable[\s\S]*trace-1/)
    assert.deepEqual(await violations(page), [])
    isDown = false
    await alert.getByRole('button', { name: 'Try again' }).click()
    await page.getByRole('group', { name: 'Pull requests merged' }).waitFor()
    await context.close()
  })

  test('before anything is configured, the page says what to do', async () => {
    const empty = { data: [], meta: { count: 0 }, trace_id: 't' }
    const { context, page } = await open(browser, 'overview', { routes: { '**/v1/teams': json(empty) } })
    await page.getByText('No teams yet').waitFor()
    assert.deepEqual(await violations(page), [])
    await context.close()
  })

  test('tiles whose days were not all read, or not at all, say so', async () => {
    const answer = await ask('metrics/team/payments/summary')
    answer.data.change = null
    const { context, page } = await open(browser, 'overview', { routes: { '**/team/payments/summary*': (route) => json(answer)(route) } })
    const tile = page.locator('.tile').first()
    for (const [reason, text] of [
      ['running', /\d\s*so far[\s\S]*This period is not over/],
      ['partly_read', /at least\s*\d[\s\S]*Not everything was read/],
      ['not_read', /not read[\s\S]*Nothing of it was read/],
    ]) {
      Object.assign(answer.data.period, { complete: false, incomplete: [reason] })
      await page.reload()
      await tile.locator('.value').waitFor()
      assert.match(await tile.innerText(), text)
      assert.equal(await tile.locator('.value a').count(), reason === 'not_read' ? 0 : 1)
    }
    await context.close()
  })

  test('old numbers are called old when newer ones are refused', async () => {
    const error = { error: { code: 'unavailable', message: 'The database cannot be reached.', details: [], trace_id: 'trace-1' } }
    let isDown = false
    const { context, page } = await open(browser, 'overview', {
      routes: { '**/v1/metrics/**': (route) => (isDown ? json(error, 400)(route) : route.continue()) },
    })
    await page.locator('.tile .value').first().waitFor()
    isDown = true
    await page.evaluate(() => window.dispatchEvent(new Event('online')))
    await page.getByText('This is an earlier answer.').first().waitFor()
    assert.ok((await page.locator('.screen > .notice.trouble').innerText()).includes('earlier'))
    assert.ok((await page.locator('.tile .value').count()) === 4)
    await context.close()
  })

  test('a title is never HTML', async () => {
    const answer = await ask('metrics/team/payments/pull-requests?last=P12W&limit=1000')
    const title = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    for (const row of answer.data.pull_requests) row.title = title
    const { context, page, problems } = await open(browser, 'pull-requests', { routes: { '**/pull-requests*': json(answer) } })
    await page.getByText(title).first().waitFor()
    assert.equal(await page.title(), 'Pull requests - Mergeline')
    assert.deepEqual(problems, [])
    await context.close()
  })

  test('hidden durations say why', async () => {
    const answer = await ask('metrics/team/payments/summary')
    answer.data.period.suppressed = true
    answer.data.period.cycle_time = { ...answer.data.period.cycle_time, p50_hours: null, p90_hours: null }
    answer.data.change = null
    answer.meta.min_group_size = 4
    const { context, page } = await open(browser, 'overview', { routes: { '**/team/payments/summary*': json(answer) } })
    await page.getByText('hidden').first().waitFor()
    assert.match(await page.locator('.tile').nth(1).innerText(), /hidden\s+Of fewer than 4 people, so it is hidden[\s\S]*Not compared/)
    await context.close()
  })
})

describe('with keys', () => {
  test('a key is asked for, sent as a header, and kept nowhere else', async () => {
    const asked = []
    const guarded = (route) => {
      const key = route.request().headers()['x-api-key']
      asked.push(key)
      const refused = { error: { code: 'unauthorized', message: 'The key is not valid.', details: [], trace_id: 't' } }
      return key === 'mgl_right' ? route.continue() : json(refused, 401)(route)
    }
    const { context, page } = await open(browser, 'overview', {
      routes: { '**/v1/{me,teams,metrics/**}': guarded, '**/app/config.json': json({ login: 'key', api: '../', database: '' }) },
    })
    assert.deepEqual(asked, [], 'nothing is asked without a key')
    assert.deepEqual(await violations(page), [])
    await page.getByLabel('Key').fill('mgl_wrong')
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.getByText('This key is not valid.').waitFor()
    await page.getByLabel('Key').fill('mgl_right')
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.locator('.tile .value').first().waitFor()
    const stored = await page.evaluate(() => ({ local: { ...localStorage }, session: Object.values(sessionStorage), cookie: document.cookie }))
    assert.deepEqual(stored, { local: {}, session: ['mgl_right'], cookie: '' })
    assert.ok(!page.url().includes('mgl_'))
    await page.getByRole('button', { name: 'Forget the key' }).click()
    await page.getByLabel('Key').waitFor()
    assert.deepEqual(await page.evaluate(() => Object.values(sessionStorage)), [])
    await context.close()
  })

  test('the numbers of one key are never shown to another', async () => {
    let isReached = true
    const { context, page } = await open(browser, 'overview', {
      worker: true,
      routes: { '**/app/config.json': json({ login: 'key', api: '../', database: '' }), '**/v1/{me,teams,metrics/**}': (route) => (isReached ? route.continue() : route.abort()) },
    })
    await page.getByLabel('Key').fill('mgl_first')
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.locator('.tile .value').first().waitFor()
    assert.deepEqual(await kept(page), [], 'whose key it is, is not known')
    assert.equal(await page.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).length), 0)
    await page.getByRole('button', { name: 'Forget the key' }).click()
    await page.getByLabel('Key').waitFor()
    assert.equal(await page.locator('.tile .value').count(), 0, 'behind the dialog')
    assert.equal(await page.getByRole('combobox', { name: 'Team', includeHidden: true }).count(), 0)
    // With the second key, nothing is answered any more.
    isReached = false
    await page.getByLabel('Key').fill('mgl_second')
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.getByRole('alert').getByText('The server cannot be reached.').first().waitFor()
    assert.equal(await page.locator('.tile .value').count(), 0)
    assert.equal(await page.getByText('These are its answers of').count(), 0)
    await context.close()
  })

  test('what was kept is forgotten when a server begins to ask for keys', async () => {
    let needsKey = false
    const refused = { error: { code: 'unauthorized', message: 'The key is not valid.', details: [], trace_id: 't' } }
    const { context, page } = await open(browser, 'overview', {
      worker: true,
      routes: { '**/v1/{me,teams,metrics/**}': (route) => (needsKey ? json(refused, 401)(route) : route.continue()) },
    })
    await waitUntilKept(page, 'me', 'teams', 'summary')
    needsKey = true
    await page.evaluate(() => window.dispatchEvent(new Event('online')))
    await page.getByLabel('Key').waitFor()
    assert.equal(await page.locator('.tile .value').count(), 0, 'behind the dialog')
    await waitUntilForgotten(page)
    // What a test makes up is answered without a network, too.
    needsKey = false
    await context.setOffline(true)
    await page.reload()
    await page.getByRole('alert').getByText('The server cannot be reached.').first().waitFor()
    assert.equal(await page.locator('.tile .value').count(), 0)
    await context.close()
  })
})

describe('without a network', () => {
  test('the page opens with its last numbers, says of when, and keeps no lists', async () => {
    const { context, page, problems } = await open(browser, 'overview', { worker: true })
    await waitUntilKept(page, 'me', 'teams', 'summary')
    await page.goto(`${URL_OF_DEMO}/v1/app/#/pull-requests`)
    await page.waitForLoadState('networkidle')
    await page.goto(`${URL_OF_DEMO}/v1/app/#/overview`)
    await page.locator('.tile .value').first().waitFor()
    const shown = await page.locator('.tile .value').first().innerText()
    await context.setOffline(true)
    await page.reload()
    await page.getByText('The server cannot be reached. These are its answers of').waitFor()
    assert.equal(await page.locator('.tile .value').first().innerText(), shown)
    const answers = await kept(page)
    assert.ok(answers.some((it) => it.includes('"summary"')) && !answers.some((it) => it.includes('pull-requests')), answers.join(' '))
    await context.setOffline(false)
    await page.getByText('The server cannot be reached').waitFor({ state: 'detached' })
    assert.deepEqual(problems, [])
    await context.close()
  })

  test('the numbers of another database at the same address are not shown', async (t) => {
    // The demo, at an address behind which another database can be.
    const at = await inFront(URL_OF_DEMO)
    t.after(() => at.close())
    const { context, page } = await open(browser, 'overview', { worker: true, at: at.address })
    await waitUntilKept(page, 'me', 'teams', 'summary')
    at.isDown = true
    await page.reload()
    await page.getByText('The server cannot be reached. These are its answers of').waitFor()
    // Those of this database are.
    await page.locator('.tile .value').first().waitFor()
    at.database = 'another'
    await page.reload()
    await page.getByRole('alert').getByText('The server cannot be reached.').first().waitFor()
    assert.equal(await page.locator('.tile .value').count(), 0)
    assert.equal(await page.getByText('These are its answers of').count(), 0)
    assert.deepEqual(await kept(page), [])
    // It answers, and its numbers are kept in place of the others.
    at.isDown = false
    await page.reload()
    await waitUntilKept(page, 'me', 'teams', 'summary')
    await context.setOffline(true)
    await page.reload()
    await page.getByText('The server cannot be reached. These are its answers of').waitFor()
    await context.close()
  })
})

describe('on paper', () => {
  for (const screen of SCREENS) {
    test(`${screen} has the age of its data, and its days`, async () => {
      const { context, page } = await open(browser, screen)
      const line = page.locator('.paper').first()
      assert.equal(await line.isVisible(), false)
      await page.emulateMedia({ media: 'print' })
      assert.equal(await line.isVisible(), true)
      assert.match(await line.innerText(), screen === 'services' ? /Data as of/ : /^\w+ \d+.*Data as of/)
      await context.close()
    })
  }
})

describe('the data', () => {
  test('is complete with what is not counted', async () => {
    const { context, page } = await open(browser, 'data')
    const { data } = await ask('metrics/organization/velocity?last=P12W')
    const block = page.locator('.block', { hasText: 'What is not counted' })
    assert.match(await block.innerText(), new RegExp(`^[\\s\\S]*${data.total.prs_merged} pull requests were merged[\\s\\S]*in no team`))
    assert.match(await page.locator('.block', { hasText: 'Why it fails' }).last().innerText(), /GitHub deployments: read[\s\S]*incident: read/)
    await context.close()
  })

  test('of no team is not asked for by those who see some teams', async () => {
    const asked = []
    const me = { data: { name: 'viewer', scopes: ['metrics:read'], teams: ['payments'], session_ends_at: null }, meta: { version: '1' }, trace_id: 't' }
    const { context, page } = await open(browser, 'data', {
      routes: { '**/v1/me': json(me), '**/organization/**': (route) => (asked.push(route.request().url()), route.continue()) },
    })
    await page.getByText('shown to those who may see all teams').first().waitFor()
    assert.deepEqual(asked, [])
    await context.close()
  })
})

describe('without a mouse', () => {
  test('a popover opens, closes with Escape, and gives the focus back', async () => {
    const { context, page } = await open(browser, 'overview')
    await page.getByRole('button', { name: /^Days/ }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'Last 4 weeks' }).waitFor()
    assert.deepEqual(await violations(page), [])
    await page.keyboard.press('Escape')
    assert.match(await page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? ''), /^Days/)
    await context.close()
  })

  test('the numbers are two keys away from the top', async () => {
    const { context, page } = await open(browser, 'overview')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    assert.equal(await page.evaluate(() => document.activeElement?.id), 'main')
    await context.close()
  })
})
