// The page by keyboard alone: where the focus goes, and what is said.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ask, json, launch, open, settled } from './page.mjs'

let browser
before(async () => (browser = await launch()))
after(async () => browser?.close())

const isFocused = (locator) => locator.evaluate((it) => it === document.activeElement)
/** Whether the focus can be seen. A field for a date has several stops, of which the browser shows the last by itself. */
const hasRing = (page) =>
  page.evaluate(() => document.activeElement.matches('input[type=date]') || (document.activeElement.matches(':focus-visible') && getComputedStyle(document.activeElement).outlineStyle !== 'none'))

/** Presses Tab until something has the focus, which can be seen at each stop. The number of stops. */
async function tabTo(page, target, most = 40) {
  for (let stops = 1; stops <= most; stops++) {
    await page.keyboard.press('Tab')
    assert.ok(await hasRing(page), await page.evaluate(() => document.activeElement.outerHTML.slice(0, 200)))
    if (await isFocused(target)) return stops
  }
  throw new Error(`not within ${most} stops`)
}

describe('by keyboard alone', () => {
  test('a number leads to one pull request behind it, and Back returns', async () => {
    const { context, page, problems } = await open(browser, 'overview')
    // Where pull requests are, which these tests do not ask.
    await context.route('https://github.com/**', (route) => route.fulfill({ contentType: 'text/html', body: '<title>GitHub</title>' }))
    const { data } = await ask('metrics/team/payments/summary')
    const number = page.locator('.tile .value a').first()
    await tabTo(page, number)
    assert.equal(await number.innerText(), String(data.period.prs_merged))
    const before = page.url()
    await page.keyboard.press('Enter')
    await page.getByText(`${data.period.prs_merged} pull requests count`).waitFor()
    await settled(page)
    // The keyboard goes on at the top of what is new, not at the top of the page.
    assert.ok(await isFocused(page.locator('main')))
    const pull = page.locator('.rows tbody tr[role="row"] a').first()
    await tabTo(page, pull, 15)
    const [opened] = await Promise.all([context.waitForEvent('page'), page.keyboard.press('Enter')])
    await opened.waitForURL(await pull.getAttribute('href'))
    await opened.close()
    await page.goBack()
    await page.getByRole('heading', { name: 'Payments', exact: true }).waitFor()
    assert.equal(page.url(), before)
    assert.ok(await isFocused(page.locator('main')))
    assert.deepEqual(problems, [])
    await context.close()
  })

  for (const [name, first, chosen] of [['Days', 'Last 4 weeks', /last=P4W/], ['Filters', undefined, /base=main/]]) {
    test(`${name} opens, has the focus, and gives it back`, async () => {
      const { context, page, problems } = await open(browser, 'overview')
      const button = page.getByRole('button', { name: new RegExp(`^${name}`) })
      const panel = page.getByRole('group', { name, exact: true })
      await tabTo(page, button)
      await page.keyboard.press('Enter')
      await panel.waitFor()
      assert.equal(await button.getAttribute('aria-expanded'), 'true')
      const controls = panel.locator('button, input, select')
      assert.ok(await isFocused(controls.first()))
      await page.keyboard.press('Escape')
      await panel.waitFor({ state: 'detached' })
      assert.ok(await isFocused(button), 'after Escape')
      assert.equal(await button.getAttribute('aria-expanded'), 'false')

      // All controls come one after the other; behind the last one it closes, and nothing is in front of the page.
      await page.keyboard.press('Space')
      await panel.waitFor()
      await tabTo(page, controls.last())
      await page.keyboard.press('Tab')
      await panel.waitFor({ state: 'detached' })
      assert.ok(await page.evaluate(() => document.activeElement !== document.body))
      await page.keyboard.press('Shift+Tab')
      assert.ok(await isFocused(button), 'the stop before')

      await page.keyboard.press('Enter')
      await panel.waitFor()
      if (first === undefined) {
        await tabTo(page, panel.getByLabel('Branch that was merged into'))
        await page.keyboard.type('main')
      } else {
        const preset = panel.getByRole('button', { name: first })
        if (!(await isFocused(preset))) await tabTo(page, preset)
      }
      await page.keyboard.press('Enter')
      await page.waitForURL(chosen)
      await panel.waitFor({ state: 'detached' })
      assert.ok(await isFocused(button), 'after a choice')
      assert.deepEqual(problems, [])
      await context.close()
    })
  }

  test('a filter that is removed leaves the focus on the page', async () => {
    const { context, page } = await open(browser, 'overview?base=main&interval=week')
    for (const name of ['Remove: Into main', 'Remove: By week']) {
      const chip = page.getByRole('button', { name })
      await tabTo(page, chip)
      await page.keyboard.press('Enter')
      await chip.waitFor({ state: 'detached' })
      assert.ok(await isFocused(page.getByRole('button', { name: /^Filters/ })), name)
    }
    await context.close()
  })

  for (const screen of ['overview', 'lead-time', 'delivery', 'teams']) {
    test(`each chart of ${screen} is one stop, and its arrow keys speak`, async () => {
      const { context, page } = await open(browser, screen)
      const charts = page.locator('.chart')
      const count = await charts.count()
      assert.ok(count > 0)
      for (let index = 0; index < count; index++) {
        const chart = charts.nth(index)
        const frame = chart.locator('.chart-frame')
        const name = await frame.getAttribute('aria-label')
        const status = chart.getByRole('status')
        const said = async () => (await status.innerText()).trim()
        assert.equal(await status.getAttribute('aria-live'), 'polite')
        assert.equal(await frame.locator('a, button, [tabindex]').count(), 0, `${name}: stops within`)
        await frame.focus()
        assert.equal(await said(), '', `${name}: before a key`)
        const at = {}
        for (const key of ['Home', 'ArrowRight', 'ArrowLeft', 'End']) {
          await page.keyboard.press(key)
          at[key] = await said()
          assert.notEqual(at[key], '', `${name}: ${key}`)
        }
        assert.notEqual(at.ArrowRight, at.Home, name)
        assert.equal(at.ArrowLeft, at.Home, name)
        assert.notEqual(at.End, at.Home, name)
        await page.keyboard.press('Escape')
        assert.equal(await said(), '', `${name}: after Escape`)
        // The next stop is its table.
        await page.keyboard.press('Tab')
        assert.ok(await isFocused(chart.locator('summary')), name)
      }
      await context.close()
    })
  }

  test('the dialog for a key keeps the focus, and Escape does not close it', async () => {
    const { context, page } = await open(browser, 'overview', { routes: { '**/app/config.json': json({ login: 'key', api: '../', database: '' }) } })
    const dialog = page.getByRole('dialog')
    assert.ok(await isFocused(dialog.getByLabel('Key')))
    // Chromium closes a dialog at the second Escape, although the page refuses.
    for (let times = 0; times < 3; times++) await page.keyboard.press('Escape')
    await page.waitForFunction(() => document.querySelector('dialog').matches(':modal'))
    assert.ok(await isFocused(dialog.getByLabel('Key')))
    for (let stops = 0; stops < 6; stops++) {
      await page.keyboard.press('Tab')
      // Between the last and the first control, the focus is at the browser's own.
      assert.ok(await page.evaluate(() => document.activeElement === document.body || document.querySelector('dialog').contains(document.activeElement)))
    }
    await context.close()
  })
})
