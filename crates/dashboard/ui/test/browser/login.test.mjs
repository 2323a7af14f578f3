// Logging in with a real provider of OpenID Connect, which is strict about PKCE, on a real `mergeline serve`. MERGELINE_PROGRAM is the program.

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import Provider from 'oidc-provider'
import { blank, DATA, kept, launch, until, violations, waitUntilForgotten, waitUntilKept } from './page.mjs'

const program = process.env.MERGELINE_PROGRAM
if (!program) throw new Error('MERGELINE_PROGRAM is not set: .ci/dashboard sets it')

const TEAMS = `
version: 1
repositories: [acme/api]
access:
  - { email: root@acme.com, role: admin }
  - { group: payments, role: lead, teams: [payments] }
teams:
  - { slug: payments, name: Payments, members: [{ github: ana }] }
  - { slug: platform, name: Platform, members: [{ github: bob }] }
`
/** What the provider knows about people, by the name that they log in with. */
const PEOPLE = {
  ana: { email: 'ana@acme.com', email_verified: true, groups: ['payments', 'everyone'] },
  root: { email: 'root@acme.com', email_verified: true },
  eve: { email: 'root@acme.com', email_verified: false },
}

/** A free port of this machine. */
async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

let browser, provider, served, folder, address
/** Changes what the provider is asked for, as somebody could who is between it and the browser. */
let changeRequest = (query) => query
/** What was asked of the provider, and why it refused a code. */
const [asked, refusals] = [[], []]
before(async () => {
  const [port, providerPort] = [await freePort(), await freePort()]
  address = `http://127.0.0.1:${port}`
  const issuer = `http://127.0.0.1:${providerPort}`
  const oidc = new Provider(issuer, {
    clients: [
      {
        client_id: 'mergeline',
        client_secret: 'a secret / with %unusual+ characters',
        redirect_uris: [`${address}/v1/app/callback`],
        token_endpoint_auth_method: 'client_secret_basic',
      },
    ],
    pkce: { required: () => true },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
    conformIdTokenClaims: false,
    cookies: { keys: ['for this test only'] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...PEOPLE[id] }) }),
  })
  oidc.use((ctx, next) => {
    if (ctx.path === '/auth') {
      asked.push({ ...ctx.query })
      ctx.query = changeRequest({ ...ctx.query })
    }
    return next()
  })
  oidc.on('grant.error', (_, error) => refusals.push(error.cause?.message ?? error.message))
  provider = oidc.listen(providerPort, '127.0.0.1')
  folder = mkdtempSync(join(tmpdir(), 'mergeline-login-'))
  // As root, PostgreSQL runs under another account, which must reach it.
  chmodSync(folder, 0o755)
  const teams = join(folder, 'teams.yaml')
  writeFileSync(teams, TEAMS)
  const environment = {
    PATH: process.env.PATH,
    HOME: folder,
    MERGELINE_DATA_DIR: join(folder, 'data'),
    TEAMS_FILE: teams,
    API_KEY: 'a-key-of-sixteen-or-more',
    OIDC_ISSUER: issuer,
    OIDC_CLIENT_ID: 'mergeline',
    OIDC_CLIENT_SECRET: 'a secret / with %unusual+ characters',
    OIDC_SCOPES: 'openid email groups',
    PUBLIC_URL: `${address}/v1/app/`,
    SESSION_SECRET: '8f3a61c97e04b5d28f3a61c97e04b5d2',
  }
  const applied = spawnSync(program, ['teams', 'apply'], { env: environment, encoding: 'utf8' })
  assert.equal(applied.status, 0, applied.stderr)
  served = spawn(program, ['serve', '--listen', `127.0.0.1:${port}`], { env: environment, stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise((resolve, reject) => {
    served.stdout.once('data', resolve)
    served.once('exit', () => reject(new Error('the server did not start')))
  })
  browser = await launch()
})
after(async () => {
  await browser?.close()
  provider?.close()
  provider?.closeAllConnections()
  if (served) {
    served.kill('SIGTERM')
    await new Promise((resolve) => served.once('exit', resolve))
  }
  if (folder) rmSync(folder, { recursive: true, force: true })
})

/** A browser of somebody who opens the page. */
async function visit(screen = 'teams') {
  const visited = await blank(browser, { worker: true })
  await visited.page.goto(pageAt(screen))
  return visited
}

const pageAt = (screen) => `${address}/v1/app/#/${screen}`
/** Where a login starts that leads to a part of an address. */
const loginTo = (to) => `${address}/v1/app/login?${new URLSearchParams({ to })}`

/** Fills in the provider's own form. */
async function fillIn(page, name) {
  await page.locator('input[name=login]').fill(name)
  await page.locator('input[name=password]').fill('anything')
  await page.locator('button[type=submit]').click()
  // It asks whether this program may know who they are.
  await page.getByRole('button', { name: 'Continue' }).waitFor()
}

/** Logs in from the page. */
async function logIn(page, name) {
  await page.getByRole('link', { name: 'Log in' }).click()
  await fillIn(page, name)
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.waitForURL(`${address}/**`)
}

const SESSION = '__Host-mergeline'
const ATTEMPT = '__Host-mergeline-login'
/** The cookie with this name, as the browser has it. */
const cookieOf = async (context, name) => (await context.cookies(address)).find((it) => it.name === name)
/** Puts a cookie back that a browser had. */
const putBack = ({ name, value, httpOnly, secure, sameSite }) => ({ name, value, httpOnly, secure, sameSite, url: `${address.replace('http:', 'https:')}/` })
const LOGGED_IN = { name: 'Log out' }

describe('with a provider', { concurrency: false }, () => {
  test('somebody logs in, sees their team, comes back to their screen, and logs out', async () => {
    const { context, page, problems } = await visit('lead-time?last=P4W')
    await page.getByText('Log in to see how your teams deliver.').waitFor()
    assert.deepEqual(await violations(page), [])
    await logIn(page, 'ana')
    await page.getByRole('button', LOGGED_IN).waitFor()
    assert.equal(page.url(), `${address}/v1/app/#/lead-time?last=P4W`)
    await page.getByRole('combobox', { name: 'Team' }).waitFor()
    const teams = await page.getByRole('combobox', { name: 'Team' }).locator('option').allInnerTexts()
    assert.deepEqual(teams, ['Payments'], 'not those of others')
    assert.equal(await page.getByRole('button', LOGGED_IN).getAttribute('title'), 'ana@acme.com')

    const stored = await page.evaluate(() => ({ local: { ...localStorage }, session: { ...sessionStorage }, cookie: document.cookie }))
    assert.deepEqual(stored, { local: {}, session: {}, cookie: '' }, 'no script can read the session')
    assert.equal(await cookieOf(context, ATTEMPT), undefined, 'the cookie of the login is gone')

    // A reload needs no login, and without a network the numbers stay until the logout.
    await page.reload()
    await page.getByRole('button', LOGGED_IN).waitFor()
    await waitUntilKept(page, 'me', 'teams', 'lead-time')
    await page.getByRole('button', LOGGED_IN).click()
    await page.getByText('Log in to see how your teams deliver.').waitFor()
    assert.equal(await page.getByRole('combobox', { name: 'Team' }).count(), 0)
    assert.deepEqual(await kept(page), [], 'nothing is kept after a logout')
    assert.deepEqual((await context.cookies(address)).filter((it) => it.name.startsWith('__Host-')), [])
    assert.deepEqual(problems, [])
    await context.close()
  })

  test('what is asked again names the answer that is there, and the same numbers stay if it is still valid', async () => {
    const { context, page, problems } = await visit('lead-time?last=P4W')
    await logIn(page, 'ana')
    await page.getByRole('heading', { name: 'Lead time of Payments' }).waitFor()
    await page.waitForLoadState('networkidle')
    const shown = await page.locator('main').innerText()
    const answered = []
    page.on('response', (response) => response.url().includes('/app/api/metrics/') && answered.push([response.request().headers()['if-none-match'] !== undefined, response.status()]))
    await page.evaluate(() => window.dispatchEvent(new Event('online')))
    await until(() => answered.length > 0)
    await page.waitForLoadState('networkidle')
    assert.deepEqual(answered.filter(([names, status]) => !names || status !== 304), [], JSON.stringify(answered))
    assert.equal(await page.locator('main').innerText(), shown)
    assert.deepEqual(problems, [])
    await context.close()
  })

  test('an administrator sees all teams, and the page asks below its own path only', async () => {
    const { context, page } = await visit()
    const asked = []
    page.on('request', (request) => asked.push(new URL(request.url()).pathname))
    await logIn(page, 'root')
    await page.getByRole('button', LOGGED_IN).waitFor()
    await page.waitForLoadState('networkidle')
    await page.getByRole('combobox', { name: 'Team' }).waitFor()
    const teams = await page.getByRole('combobox', { name: 'Team' }).locator('option').allInnerTexts()
    assert.deepEqual(teams, ['Payments', 'Platform'])
    const data = asked.filter((path) => path.startsWith('/v1/') && !path.startsWith('/v1/app/'))
    assert.deepEqual(data, [])
    assert.ok(asked.some((path) => path.startsWith('/v1/app/api/')))
    await context.close()
  })

  test('an address that is not verified gives nothing, and the page says so', async () => {
    const { context, page } = await visit()
    await logIn(page, 'eve')
    await page.getByText('nothing is shared with you').waitFor()
    assert.deepEqual(await violations(page), [])
    assert.deepEqual((await context.cookies(address)).filter((it) => it.name.startsWith('__Host-')), [])
    await context.close()
  })

  for (const [claim, host, isSent] of [
    ['a page of another site gets nothing by the session, which is not sent', 'localhost', false],
    // Ports do not separate sites, so the server has to refuse.
    ['a page at another port gets nothing by the session, although it is sent', '127.0.0.1', true],
  ]) {
    test(claim, async (t) => {
      const { context, page } = await visit()
      await logIn(page, 'root')
      await page.getByRole('button', LOGGED_IN).waitFor()
      const other = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<title>other</title>')).listen(0, '127.0.0.1')
      t.after(() => (other.close(), other.closeAllConnections()))
      await once(other, 'listening')
      const elsewhere = `http://${host}:${other.address().port}/`
      await page.goto(elsewhere)

      // What the browser really sends and gets, which the other page's script does not see.
      const devtools = await context.newCDPSession(page)
      await devtools.send('Network.enable')
      const requests = new Map()
      const about = (id) => requests.get(id) ?? requests.set(id, {}).get(id)
      devtools.on('Network.requestWillBeSent', ({ requestId, request }) => Object.assign(about(requestId), { url: request.url, method: request.method }))
      devtools.on('Network.requestWillBeSentExtraInfo', ({ requestId, headers, associatedCookies }) => {
        const cookies = Object.entries(headers).filter(([name]) => name.toLowerCase() === 'cookie')
        Object.assign(about(requestId), { isSent: cookies.some(([, value]) => value.includes(`${SESSION}=`)), why: associatedCookies.filter((it) => it.cookie.name === SESSION).flatMap((it) => it.blockedReasons) })
      })
      devtools.on('Network.responseReceivedExtraInfo', ({ requestId, statusCode }) => Object.assign(about(requestId), { status: statusCode }))
      const outcomes = await page.evaluate(async (target) => {
        const data = `${target}/v1/app/api/teams`
        const asked = (address, options) => fetch(address, { credentials: 'include', ...options }).then((it) => it.type, () => 'refused')
        const loaded = (tag) =>
          new Promise((resolve) => {
            const element = Object.assign(document.createElement(tag), { src: data })
            element.onload = () => resolve('loaded')
            element.onerror = () => resolve('refused')
            document.body.append(element)
          })
        return [
          await asked(data, { mode: 'no-cors' }),
          await asked(data),
          await loaded('img'),
          await loaded('script'),
          await asked(`${target}/v1/app/logout`, { method: 'POST', mode: 'no-cors' }),
        ]
      }, address)
      // What another site's script gets of a request without questions is an answer that it cannot read.
      assert.deepEqual(outcomes, ['opaque', 'refused', 'refused', 'refused', 'opaque'])
      const sent = () => [...requests.values()].filter((it) => it.url?.startsWith(address))
      await until(() => sent().length === outcomes.length && sent().every((it) => it.isSent !== undefined && it.status !== undefined))
      for (const it of sent()) {
        assert.deepEqual({ isSent: it.isSent, status: it.status }, { isSent, status: 403 }, `${it.method} ${it.url}`)
        // The browser has the cookie, and holds it back for the reason that is meant, besides others that it may have.
        assert.equal(it.why.some((reason) => reason.endsWith('SameSiteStrict')), !isSent, `${it.method} ${it.url}: ${it.why}`)
      }

      // An address of the data that somebody is led to has none, since only the page may ask.
      const [opened] = await Promise.all([page.waitForResponse(/app\/api\/teams/), page.evaluate((target) => (location.href = `${target}/v1/app/api/teams`), address)])
      assert.equal(opened.status(), 403)
      assert.ok(!(await opened.text()).includes('Payments'))
      // A link that somebody follows to the page works, and the page behind it is logged in.
      await page.goto(elsewhere)
      await page.evaluate((target) => (location.href = target), pageAt('teams'))
      await page.getByRole('button', LOGGED_IN).waitFor()
      await context.close()
    })
  }

  test('the cookies are for this host, this browser and its own requests only', async () => {
    const { context, page } = await visit()
    await page.getByRole('link', { name: 'Log in' }).click()
    await fillIn(page, 'ana')
    const flags = async (name) => {
      const { domain, path, httpOnly, secure, sameSite, expires } = await cookieOf(context, name)
      return { flags: { domain, path, httpOnly, secure, sameSite }, minutes: (expires - Date.now() / 1000) / 60 }
    }
    // Without a dot at its start, a domain is the host alone.
    const ofAll = { domain: '127.0.0.1', path: '/', httpOnly: true, secure: true }
    // The provider leads back by a link of another site, which brings cookies that are Lax.
    const attempt = await flags(ATTEMPT)
    assert.deepEqual(attempt.flags, { ...ofAll, sameSite: 'Lax' })
    assert.ok(attempt.minutes <= 10, `${attempt.minutes}`)
    assert.equal(await cookieOf(context, SESSION), undefined)
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.getByRole('button', LOGGED_IN).waitFor()
    const session = await flags(SESSION)
    assert.deepEqual(session.flags, { ...ofAll, sameSite: 'Strict' })
    assert.ok(session.minutes <= 8 * 60, `${session.minutes}`)
    assert.equal(await cookieOf(context, ATTEMPT), undefined)
    await context.close()
  })
})

describe('a login that somebody meddles with', { concurrency: false }, () => {
  /** Logs in until the provider leads back, and takes the attempt away just before. The answer is then not used: its address and the attempt. */
  async function unused(visited, name) {
    const { context, page } = visited
    await page.getByRole('link', { name: 'Log in' }).click()
    await fillIn(page, name)
    const attempt = await cookieOf(context, ATTEMPT)
    await context.clearCookies({ name: ATTEMPT })
    const [request] = await Promise.all([page.waitForRequest(/app\/callback/), page.getByRole('button', { name: 'Continue' }).click()])
    await failed(visited, 'This login took too long')
    return { answer: request.url(), attempt }
  }
  /** Says so, and there is no session. */
  async function failed({ context, page }, sentence) {
    await page.getByRole('alert').getByText(sentence).waitFor()
    assert.equal(await cookieOf(context, SESSION), undefined)
    assert.equal(await page.getByRole('button', LOGGED_IN).count(), 0)
  }

  test('the provider refuses a verifier that does not belong to the login', async (t) => {
    t.after(() => (changeRequest = (query) => query))
    const visited = await visit()
    const before = refusals.length
    // Of another verifier than the one that the program keeps.
    changeRequest = (query) => ({ ...query, code_challenge: createHash('sha256').update('a'.repeat(43)).digest('base64url') })
    await logIn(visited.page, 'root')
    await failed(visited, 'The login provider and this server’s settings do not fit together.')
    assert.deepEqual(refusals.slice(before), ['code_verifier does not match code_challenge'])
    assert.equal(asked.at(-1).code_challenge_method, 'S256')
    // With the challenge as the program made it, the same browser gets in: nothing else was wrong.
    changeRequest = (query) => query
    await visited.page.getByRole('link', { name: 'Log in' }).click()
    await visited.page.getByRole('button', LOGGED_IN).waitFor()
    await visited.context.close()
  })

  test('an answer of the provider is used only by the browser that asked', async () => {
    const [attacker, victim] = [await visit(), await visit()]
    const { answer, attempt } = await unused(attacker, 'root')
    // The victim has started a login, too, and is led to the answer for the attacker.
    await victim.page.getByRole('link', { name: 'Log in' }).click()
    await victim.page.locator('input[name=login]').waitFor()
    assert.ok(await cookieOf(victim.context, ATTEMPT))
    await victim.page.goto(answer)
    await failed(victim, 'was started in another window')
    // Where it was asked for, the same answer logs in: nothing else was wrong with it.
    await attacker.context.addCookies([putBack(attempt)])
    await attacker.page.goto(answer)
    await attacker.page.getByRole('button', LOGGED_IN).waitFor()

    // It is used up, also with all cookies of then.
    await attacker.context.clearCookies({ name: SESSION })
    await attacker.context.addCookies([putBack(attempt)])
    await attacker.page.goto(answer)
    await failed(attacker, 'This login took too long')
    for (const { context } of [attacker, victim]) await context.close()
  })

  test('a login leads nowhere but to the page', async () => {
    const { context, page } = await visit()
    await logIn(page, 'ana')
    await page.getByRole('button', LOGGED_IN).waitFor()
    const hosts = new Set()
    page.on('request', (request) => hosts.add(new URL(request.url()).hostname))
    for (const to of ['//evil.example', 'https://evil.example', '#//evil.example']) {
      // The provider knows who it is by now, and leads back at once.
      await page.goto(loginTo(to))
      await page.getByRole('heading', { name: 'Payments' }).waitFor()
      assert.equal(page.url(), pageAt('overview'), to)
    }
    assert.deepEqual([...hosts], ['127.0.0.1'])
    // A screen is gone to.
    await page.goto(loginTo('#/teams'))
    await page.getByRole('heading', { name: 'Teams' }).waitFor()
    await context.close()
  })
})

describe('a session that is over', { concurrency: false }, () => {
  test('is said while the page is in use, and a login leads back to the same screen', async () => {
    const { context, page, problems } = await visit('delivery?team=payments&last=P26W#incidents')
    await logIn(page, 'ana')
    // The list that the address names takes the focus once it is there.
    await page.waitForFunction(() => document.activeElement?.id === 'incidents')
    await context.clearCookies({ name: SESSION })
    // What is there may stay; the next question is refused.
    await page.getByRole('button', { name: /^Days/ }).click()
    await page.getByRole('button', { name: 'Last 4 weeks' }).click()
    await page.getByRole('alert').getByText('Your session has ended.').waitFor()
    const here = page.url()
    assert.equal(here, pageAt('delivery?last=P4W&team=payments'))
    assert.equal(await page.getByText('Payments').count(), 0, 'behind the dialog')
    assert.deepEqual(await violations(page), [])
    await page.getByRole('link', { name: 'Log in' }).click()
    await page.getByRole('heading', { name: 'Delivery of Payments' }).waitFor()
    assert.equal(page.url(), here)
    assert.equal(await page.getByRole('button', { name: /^Days/ }).innerText(), 'Last 4 weeks')
    assert.deepEqual(problems, [])
    await context.close()
  })

  test('shows nothing that was kept, with or without a network', async () => {
    const { context, page } = await visit('overview')
    await logIn(page, 'ana')
    await waitUntilKept(page, 'me', 'teams', 'summary')
    await context.clearCookies({ name: SESSION })
    await page.reload()
    await page.getByText('Log in to see how your teams deliver.').waitFor()
    assert.equal(await page.getByText('Payments').count(), 0)
    await waitUntilForgotten(page)
    await unreachable({ context, page })
    await context.close()
  })

  test('is over without a network, too, at the time that the server said', async () => {
    const { context, page } = await visit('overview')
    await logIn(page, 'ana')
    await waitUntilKept(page, 'me', 'teams', 'summary')
    await context.setOffline(true)
    const { expires } = await cookieOf(context, SESSION)
    await page.clock.setFixedTime(expires * 1000 - 60_000)
    await page.reload()
    await page.getByText('The server cannot be reached. These are its answers of').waitFor()
    await page.getByRole('heading', { name: 'Payments' }).waitFor()
    await page.clock.setFixedTime(expires * 1000 + 60_000)
    await unreachable({ context, page })
    assert.deepEqual(await kept(page), [])
    await context.close()
  })
})

describe('another person in the same browser', { concurrency: false }, () => {
  test('never sees what was kept for the one before', async () => {
    // A question that the next person will not ask.
    const { context, page } = await visit('overview?team=platform')
    await logIn(page, 'root')
    await page.getByRole('heading', { name: 'Platform' }).waitFor()
    await waitUntilKept(page, 'me', 'teams', 'summary')
    assert.ok((await everythingKept(page)).includes('Platform'))
    // Nobody logged out, and the page did not see that the session is over.
    await context.clearCookies()
    await page.goto(loginTo('#/teams'))
    await fillIn(page, 'ana')
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.getByRole('heading', { name: 'Payments' }).waitFor()
    await waitUntilKept(page, 'me', 'teams', 'overview')
    await context.setOffline(true)
    await page.reload()
    await page.getByText('The server cannot be reached. These are its answers of').waitFor()
    await page.getByRole('heading', { name: 'Payments' }).waitFor()
    assert.equal(await page.getByText('Platform').count(), 0)
    assert.ok(!(await everythingKept(page)).includes('Platform'))
    await context.close()
  })

  test('sees nothing where the network is gone before it is known who it is', async () => {
    const { context, page } = await visit('teams')
    await logIn(page, 'root')
    await page.getByRole('heading', { name: 'Platform' }).waitFor()
    await waitUntilKept(page, 'me', 'teams', 'overview')
    await context.clearCookies()
    await page.goto(loginTo('#/teams'))
    await fillIn(page, 'ana')
    // The page itself still comes.
    await context.route('**/app/api/**', (route) => route.abort())
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.getByRole('alert').getByText('The server cannot be reached.').first().waitFor()
    assert.ok(await cookieOf(context, SESSION), 'somebody is logged in')
    assert.equal(await page.getByText('Platform').count(), 0)
    assert.ok(!(await everythingKept(page)).includes('Platform'))
    await context.close()
  })
})

/** Opens the page without a network: it says that there is none, and shows no answers. */
async function unreachable({ context, page }) {
  await context.setOffline(true)
  await page.reload()
  await page.getByRole('alert').getByText('The server cannot be reached.').first().waitFor()
  assert.equal(await page.getByText('These are its answers of').count(), 0)
  assert.equal(await page.getByText('Payments').count(), 0)
}

/** All text that the browser keeps of answers. */
const everythingKept = (page) =>
  page.evaluate(async (data) => {
    if (!(await caches.has(data))) return ''
    const cache = await caches.open(data)
    const texts = (await cache.keys()).map(async (one) => (await cache.match(one)).text())
    return (await Promise.all(texts)).join('\n')
  }, DATA)
