// The page in a real browser, on a real `mergeline demo` at MERGELINE_URL. Only what a test says is made up is.

import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { setTimeout } from 'node:timers/promises'
import { chromium } from 'playwright-core'

const PLACES = [process.env.CHROME, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
/** Rules of WCAG 2.2 AA, and what is good practice. */
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']

export const SCREENS = ['overview', 'delivery', 'lead-time', 'insight', 'pull-requests', 'pull-requests?state=open', 'teams', 'services', 'data']
export const URL_OF_DEMO = process.env.MERGELINE_URL
if (!URL_OF_DEMO) throw new Error('MERGELINE_URL is not set: .ci/dashboard starts a demo and sets it')

/** A browser, of which each test takes a fresh profile. */
export async function launch() {
  const executablePath = PLACES.find((place) => place && existsSync(place))
  if (!executablePath) throw new Error('no Chromium: install it (Debian: apt-get install chromium), or name it in CHROME')
  return chromium.launch({
    executablePath,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run',
      // Nothing leads out of this machine: what a foreign page names is refused at once.
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
      // Else a few round edges differ from one picture to the next, by the order in which their parts were drawn.
      '--disable-partial-raster',
    ],
  })
}

const WIDE = { width: 1280, height: 900 }
const PHONE = { width: 360, height: 800 }

/** A new profile with one page. What goes wrong in the page is collected in `problems`. */
export async function blank(browser, { viewport = WIDE, dark = false, worker = false } = {}) {
  const context = await browser.newContext({ viewport, colorScheme: dark ? 'dark' : 'light', locale: 'en-US', timezoneId: 'UTC', reducedMotion: 'reduce', serviceWorkers: worker ? 'allow' : 'block' })
  const page = await context.newPage()
  page.setDefaultTimeout(15_000)
  const problems = []
  page.on('pageerror', (error) => problems.push(`error: ${error.message}`))
  page.on('console', (message) => {
    // What the server refuses is made up by the test that says so.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) problems.push(message.text())
  })
  return { context, page, problems }
}

/** Waits until the numbers of a screen are there, or what it says in their place. */
export async function settled(page) {
  // Idle for half a second says nothing on a busy machine: the script may not have asked for anything yet.
  await page.waitForFunction(() => document.querySelector('dialog h1, .trouble') || (document.querySelector('h1') && !document.querySelector('.skeleton')))
  await page.waitForLoadState('networkidle')
}

/** Opens a screen and waits until its numbers are there. */
export async function open(browser, screen, { routes = {}, at = URL_OF_DEMO, ...options } = {}) {
  const opened = await blank(browser, options)
  for (const [pattern, answer] of Object.entries(routes)) await opened.page.route(pattern, answer)
  await opened.page.goto(`${at}/v1/app/#/${screen}`)
  await settled(opened.page)
  return opened
}

/** An answer of the API, made up. */
export const json = (body, status = 200) => (route) => route.fulfill({ status, contentType: 'application/json', body: JSON.stringify(body) })

/** An answer of the API, changed. */
export const altered = (change) => async (route) => {
  const response = await route.fetch()
  const answer = await response.json()
  change(answer)
  return route.fulfill({ response, json: answer })
}

/** Light and dark have their own mistakes, and so have wide windows and phones. */
export async function inEachLook(page, check) {
  for (const [look, colorScheme, viewport] of [['light', 'light', WIDE], ['dark, on a phone', 'dark', PHONE]]) {
    await page.emulateMedia({ colorScheme })
    await page.setViewportSize(viewport)
    await check(look)
  }
}

/** Where the browser keeps answers and files of this page. */
export const [DATA, FILES] = ['mergeline-data /v1/app/', 'mergeline-page /v1/app/']

/** The questions whose answers the browser keeps for a time without a network. */
export const kept = (page) => page.evaluate(async (data) => ((await caches.has(data)) ? (await (await caches.open(data)).keys()).map((it) => decodeURIComponent(it.url)) : []), DATA)

/** Waits until something is so, asked by a promise, which `waitForFunction` takes for the answer itself. */
export async function until(isSo) {
  const end = Date.now() + 15_000
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`not within 15 s: ${isSo}`)
    await setTimeout(50)
  }
}

/** Waits until the page would open without a network, with the answers to these questions. */
export async function waitUntilKept(page, ...questions) {
  const areThere = async ([filesOf, dataOf, all]) => {
    const names = async (cache) => (await (await caches.open(cache)).keys()).map((it) => decodeURIComponent(it.url))
    const [files, answers] = [await names(filesOf), await names(dataOf)]
    return files.some((it) => it.endsWith('config.json')) && all.every((one) => answers.some((it) => it.includes(`"${one}"`)))
  }
  await until(() => page.evaluate(areThere, [FILES, DATA, questions]))
}

/** Waits until no answer is kept. */
export const waitUntilForgotten = (page) => until(() => page.evaluate(async (data) => !(await caches.has(data)), DATA))

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

/** A server that passes everything on. `isDown` makes it answer nothing but the page's own files, `database` names another one. */
export async function inFront(of) {
  const front = { isDown: false, database: undefined }
  const server = createServer(async (request, response) => {
    const isFile = request.url.startsWith('/v1/app/')
    if (front.isDown && !isFile) return request.socket.destroy()
    const answer = await fetch(of + request.url, { headers: { 'sec-fetch-site': 'same-origin' } })
    const headers = Object.fromEntries([...answer.headers].filter(([name]) => !['content-encoding', 'content-length', 'transfer-encoding', 'connection', 'keep-alive'].includes(name)))
    let body = Buffer.from(await answer.arrayBuffer())
    if (front.database !== undefined && request.url.startsWith('/v1/app/config.json')) body = JSON.stringify({ ...JSON.parse(body), database: front.database })
    response.writeHead(answer.status, headers).end(body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  front.address = `http://127.0.0.1:${server.address().port}`
  front.close = () => (server.close(), server.closeAllConnections())
  return front
}
