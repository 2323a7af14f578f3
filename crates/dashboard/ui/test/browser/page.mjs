// The page in a real browser, on a real `mergeline demo` at MERGELINE_URL. Only what a test says is made up is.

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { chromium } from 'playwright-core'

const PLACES = [process.env.CHROME, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
/** Rules of WCAG 2.2 AA, and what is good practice. */
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']

export const URL_OF_DEMO = process.env.MERGELINE_URL
if (!URL_OF_DEMO) throw new Error('MERGELINE_URL is not set: .ci/dashboard starts a demo and sets it')

/** A browser, of which each test takes a fresh profile. */
export async function launch() {
  const executablePath = PLACES.find((place) => place && existsSync(place))
  if (!executablePath) throw new Error('no Chromium: install it (Debian: apt-get install chromium), or name it in CHROME')
  return chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'],
  })
}

/** Opens a screen and waits until its numbers are there. What goes wrong in the page is collected in `problems`. */
export async function open(browser, screen, { viewport = { width: 1280, height: 900 }, dark = false, worker = false, routes = {} } = {}) {
  const context = await browser.newContext({ viewport, colorScheme: dark ? 'dark' : 'light', locale: 'en-US', timezoneId: 'UTC', reducedMotion: 'reduce', serviceWorkers: worker ? 'allow' : 'block' })
  const page = await context.newPage()
  const problems = []
  page.on('pageerror', (error) => problems.push(`error: ${error.message}`))
  page.on('console', (message) => {
    // What the server refuses is made up by the test that says so.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) problems.push(message.text())
  })
  for (const [pattern, answer] of Object.entries(routes)) await page.route(pattern, answer)
  await page.goto(`${URL_OF_DEMO}/v1/app/#/${screen}`)
  // Idle for half a second says nothing on a busy machine: the script may not have asked for anything yet.
  await page.waitForFunction(() => document.querySelector('dialog h1, .trouble') || (document.querySelector('h1') && !document.querySelector('.skeleton')))
  await page.waitForLoadState('networkidle')
  return { context, page, problems }
}

/** What axe-core finds, in a few words each. */
export async function violations(page) {
  // Evaluated by the debugger, so that the content policy does not apply.
  await page.evaluate(AXE)
  return page.evaluate(async (rules) => {
    const found = await globalThis.axe.run(document, { runOnly: { type: 'tag', values: rules } })
    return found.violations.map((it) => `${it.id}: ${it.nodes.map((node) => node.target.join(' ')).join(', ')}`)
  }, RULES)
}

/** How far the page could be scrolled sideways, in pixels. */
export const sideways = (page) => page.evaluate(() => Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth))

/** What the API answers. */
export async function ask(path) {
  const response = await fetch(`${URL_OF_DEMO}/v1/${path}`)
  if (!response.ok) throw new Error(`${path}: ${response.status}`)
  return response.json()
}
