// Logging in with a real provider of OpenID Connect, which is strict about PKCE, on a real `mergeline serve`. MERGELINE_PROGRAM is the program.

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import Provider from 'oidc-provider'
import { launch, violations } from './page.mjs'

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
  const context = await browser.newContext({ locale: 'en-US', timezoneId: 'UTC', reducedMotion: 'reduce' })
  const page = await context.newPage()
  page.setDefaultTimeout(15_000)
  const problems = []
  page.on('pageerror', (error) => problems.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) problems.push(message.text())
  })
  await page.goto(`${address}/v1/app/#/${screen}`)
  return { context, page, problems }
}

/** Logs in at the provider, as its own form wants it. */
async function logIn(page, name) {
  await page.getByRole('link', { name: 'Log in' }).click()
  await page.locator('input[name=login]').fill(name)
  await page.locator('input[name=password]').fill('anything')
  await page.locator('button[type=submit]').click()
  // It asks whether this program may know who they are.
  await page.locator('button[type=submit]').click()
  await page.waitForURL(`${address}/**`)
}

describe('with a provider', { concurrency: false }, () => {
  test('somebody logs in, sees their team, comes back to their screen, and logs out', async () => {
    const { context, page, problems } = await visit('lead-time?last=P4W')
    await page.getByText('Log in to see how your teams deliver.').waitFor()
    assert.deepEqual(await violations(page), [])
    await logIn(page, 'ana')
    await page.getByRole('button', { name: 'Log out' }).waitFor()
    assert.equal(page.url(), `${address}/v1/app/#/lead-time?last=P4W`)
    await page.getByRole('combobox', { name: 'Team' }).waitFor()
    const teams = await page.getByRole('combobox', { name: 'Team' }).locator('option').allInnerTexts()
    assert.deepEqual(teams, ['Payments'], 'not those of others')
    assert.equal(await page.getByRole('button', { name: 'Log out' }).getAttribute('title'), 'ana@acme.com')

    const kept = await page.evaluate(() => ({ local: { ...localStorage }, session: { ...sessionStorage }, cookie: document.cookie }))
    assert.deepEqual(kept, { local: {}, session: {}, cookie: '' }, 'no script can read the session')
    const [cookie, ...others] = (await context.cookies(address)).filter((it) => it.name.startsWith('__Host-'))
    assert.deepEqual(others, [], 'the cookie of the login is gone')
    const { name, path, httpOnly, secure, sameSite } = cookie
    assert.deepEqual([name, path, httpOnly, secure, sameSite], ['__Host-mergeline', '/', true, true, 'Strict'])
    assert.ok(cookie.expires - Date.now() / 1000 <= 8 * 3600)

    // A reload needs no login, and without a network the numbers stay until the logout.
    await page.reload()
    await page.getByRole('button', { name: 'Log out' }).waitFor()
    const keptAnswers = () => page.evaluate(async () => (await (await caches.open('mergeline-data')).keys()).length)
    await page.waitForFunction(async () => (await (await caches.open('mergeline-data')).keys()).length > 3)
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByText('Log in to see how your teams deliver.').waitFor()
    assert.equal(await page.getByRole('combobox', { name: 'Team' }).count(), 0)
    assert.equal(await keptAnswers(), 0, 'nothing is kept after a logout')
    assert.deepEqual((await context.cookies(address)).filter((it) => it.name.startsWith('__Host-')), [])
    assert.deepEqual(problems, [])
    await context.close()
  })

  test('an administrator sees all teams, and the page asks below its own path only', async () => {
    const { context, page } = await visit()
    const asked = []
    page.on('request', (request) => asked.push(new URL(request.url()).pathname))
    await logIn(page, 'root')
    await page.getByRole('button', { name: 'Log out' }).waitFor()
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

  test('a page of another site does not use the session', async () => {
    const { context, page } = await visit()
    await logIn(page, 'root')
    await page.getByRole('button', { name: 'Log out' }).waitFor()
    const other = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<title>other</title>')).listen(0, '127.0.0.1')
    await new Promise((resolve) => other.once('listening', resolve))
    await page.goto(`http://localhost:${other.address().port}/`)
    const outcome = await page.evaluate(async (target) => {
      try {
        const response = await fetch(`${target}/v1/app/api/teams`, { credentials: 'include', mode: 'no-cors' })
        return response.type
      } catch {
        return 'refused'
      }
    }, address)
    assert.ok(['opaque', 'refused'].includes(outcome))
    // A link that somebody follows works, and the page behind it is logged in.
    await page.evaluate((target) => (location.href = `${target}/v1/app/#/teams`), address)
    await page.getByRole('button', { name: 'Log out' }).waitFor()
    other.close()
    other.closeAllConnections()
    await context.close()
  })
})
