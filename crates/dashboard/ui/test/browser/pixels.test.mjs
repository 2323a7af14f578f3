// Pictures of screens, compared with others of the same run: fonts differ between machines, so none are stored.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { blank, launch, settled, SCREENS, URL_OF_DEMO } from './page.mjs'

let browser
before(async () => (browser = await launch()))
after(async () => browser?.close())

const NOW = Date.now()
/** The first answers, so that ages and what the server adds by the minute are the same in each picture. */
const answers = new Map()
async function remembered(route) {
  const address = route.request().url()
  if (!answers.has(address)) {
    const response = await route.fetch()
    answers.set(address, { status: response.status(), headers: response.headers(), body: await response.body() })
  }
  return route.fulfill(answers.get(address))
}

const linkTo = (page, screen) => (screen.includes('state=open') ? page.getByRole('link', { name: 'All open' }) : page.locator(`.nav a[href="#/${screen}"]`))

async function picture(page) {
  await settled(page)
  // What the mouse and the focus are on looks different.
  await page.mouse.move(0, 0)
  await page.evaluate(() => document.activeElement?.blur())
  return page.screenshot({ fullPage: true, animations: 'disabled' })
}

/** How many pixels differ; all of them if the sizes do. */
const difference = (page, one, other) =>
  page.evaluate(
    async (pictures) => {
      const [first, second] = await Promise.all(
        pictures.map(async (text) => {
          const bytes = Uint8Array.from(atob(text), (it) => it.charCodeAt(0))
          const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }))
          const canvas = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d')
          canvas.drawImage(bitmap, 0, 0)
          return { size: `${bitmap.width}x${bitmap.height}`, pixels: new Uint32Array(canvas.getImageData(0, 0, bitmap.width, bitmap.height).data.buffer) }
        }),
      )
      if (first.size !== second.size) return first.pixels.length
      return first.pixels.reduce((count, pixel, index) => count + (pixel === second.pixels[index] ? 0 : 1), 0)
    },
    [one.toString('base64'), other.toString('base64')],
  )

describe('pixel for pixel', { concurrency: 2 }, () => {
  for (const screen of SCREENS) {
    test(`${screen} is the same by its address, again, and by a link, and another one in dark`, async () => {
      const { context, page } = await blank(browser)
      await page.clock.setFixedTime(NOW)
      await page.route('**/v1/{me,teams,metrics/**,deployments?*,incidents?*,services,state,coverage,definitions}', remembered)
      const address = `${URL_OF_DEMO}/v1/app/#/${screen}`
      await page.goto(address)
      const first = await picture(page)
      await page.reload()
      assert.equal(await difference(page, first, await picture(page)), 0, 'pixels differ when it is opened again')

      await page.goto(`${URL_OF_DEMO}/v1/app/#/${screen === 'overview' ? 'teams' : 'overview'}`)
      const elsewhere = await picture(page)
      assert.ok((await difference(page, first, elsewhere)) > 1000, 'another screen is another picture')
      await linkTo(page, screen).click()
      await page.waitForURL(address)
      assert.equal(await difference(page, first, await picture(page)), 0, 'pixels differ when a link leads there')

      await page.emulateMedia({ colorScheme: 'dark' })
      const dark = await picture(page)
      assert.ok((await difference(page, first, dark)) > 100_000, 'dark is another picture')
      await context.close()
    })
  }
})
