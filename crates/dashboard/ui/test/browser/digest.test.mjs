// Cards for Microsoft Teams of a real `mergeline digest`, read by the library that draws them. MERGELINE_PROGRAM is the program,
// DIGEST_PICTURES is a folder for pictures of them, to be looked at.
// A workflow answers 202 before anything is posted, so a card that is wrong fails where nobody sees it.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { launch, violations } from './page.mjs'

const program = process.env.MERGELINE_PROGRAM
if (!program) throw new Error('MERGELINE_PROGRAM is not set: .ci/dashboard sets it')
// Its package asks for ES modules that Node cannot read; this file has all of it.
const require = createRequire(import.meta.url)
const LIBRARY = 'adaptivecards/dist/adaptivecards.js'
const { AdaptiveCard, SerializationContext, Versions } = require(LIBRARY)

const DAY = 86_400_000
const HOSTILE = ['<at>everyone</at> & <b>bold</b>', '**bold** [link](https://evil.example.com)', '“Zoë” fixes ⟨x⟩ '.repeat(12).trim()]
const TEAMS = `
version: 1
repositories: [acme/api]
teams:
  - { slug: payments, name: 'Pay & <Ments>', members: [{ github: ana }] }
goals:
  - { id: age, team: payments, form: each, measure: age, within: 7d }
`
/** Merges by week: the last one shows that more are merged since the fourth last. */
const MERGES = [6, 4, 7, 5, 8, 3, 6, 5, 9, 4, 6, 7, 5, 6, 8, 4, 5, 7, 6, 3, 6, 8, 5, 7, 4, 6, 7, 5, 9, 10, 8, 11]
/** Up to now, from the first of these weeks on: earlier ones would be weeks without a merge. */
const DAYS = 7 * MERGES.length + ((new Date().getUTCDay() + 6) % 7) + 1
/** These, and some that are open for long. */
function pullRequests() {
  const now = Date.now()
  const monday = now - ((((new Date(now).getUTCDay() + 6) % 7) * DAY) + (now % DAY))
  const all = []
  const add = (created, merged, title) => {
    const number = all.length + 1
    const [open, closed] = [new Date(created).toISOString(), merged === null ? null : new Date(merged).toISOString()]
    const repo = { id: 1, name: 'api', full_name: 'acme/api', owner: { login: 'acme', id: 2, type: 'Organization' } }
    const sha = number.toString(16).padStart(40, '0')
    all.push({
      id: 1000 + number, node_id: `PR_${number}`, number, title, state: closed ? 'closed' : 'open', draft: false, locked: false, labels: [],
      user: { login: 'ana', id: 7, node_id: 'U_7', type: 'User' },
      created_at: open, updated_at: closed ?? open, closed_at: closed, merged_at: closed, merge_commit_sha: closed && sha,
      base: { ref: 'main', sha, repo }, head: { ref: `topic-${number}`, sha, repo },
    })
  }
  for (const [week, count] of MERGES.entries()) {
    for (let index = 0; index < count; index++) {
      const merged = monday - (MERGES.length - week) * 7 * DAY + DAY + 12 * 3_600_000 + index * 60_000
      add(merged - 20 * 3_600_000, merged, `Change ${week}.${index}`)
    }
  }
  HOSTILE.forEach((title, index) => add(now - (20 + index) * DAY, null, title))
  return all.sort((a, b) => b.updated_at.localeCompare(a.updated_at))
}

/** As much of GitHub as a collection without a token asks for. */
function gitHub() {
  const all = pullRequests()
  return createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost')
    const [page, size] = [Number(searchParams.get('page') ?? 1), Number(searchParams.get('per_page') ?? 30)]
    const answer = (body, headers = {}) => response.writeHead(200, { 'content-type': 'application/json', 'x-ratelimit-remaining': '5000', 'x-ratelimit-limit': '5000', ...headers }).end(JSON.stringify(body))
    if (pathname === '/repos/acme/api') return answer({ id: 1, node_id: 'R_1', name: 'api', full_name: 'acme/api', private: false, archived: false, default_branch: 'main', owner: { login: 'acme', id: 2, type: 'Organization' } })
    if (/^\/(repos\/acme\/api|repositories\/1)\/pulls$/.test(pathname)) {
      const last = Math.max(1, Math.ceil(all.length / size))
      const link = (to, rel) => `<http://${request.headers.host}${pathname}?${new URLSearchParams({ ...Object.fromEntries(searchParams), page: to })}>; rel="${rel}"`
      const sorted = searchParams.get('direction') === 'asc' ? [...all].reverse() : all
      return answer(sorted.slice((page - 1) * size, page * size), page < last ? { link: [link(page + 1, 'next'), link(last, 'last')].join(', ') } : {})
    }
    response.writeHead(404, { 'content-type': 'application/json' }).end('{"message":"Not Found"}')
  })
}

let folder, github, environment
/** Runs the program; its output, if it succeeds. */
async function run(...parameters) {
  const child = spawn(program, parameters, { cwd: folder, env: environment })
  const [out, err] = [[], []]
  child.stdout.on('data', (chunk) => out.push(chunk))
  child.stderr.on('data', (chunk) => err.push(chunk))
  const [code] = await once(child, 'close')
  assert.equal(code, 0, `${parameters.join(' ')}: ${Buffer.concat(err)}`)
  return Buffer.concat(out).toString()
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mergeline-digest-'))
  // The account that runs the private server must reach its data.
  chmodSync(folder, 0o755)
  writeFileSync(join(folder, 'teams.yaml'), TEAMS)
  github = gitHub().listen(0, '127.0.0.1')
  await once(github, 'listening')
  environment = { PATH: process.env.PATH, HOME: folder, MERGELINE_DATA_DIR: join(folder, 'data'), GITHUB_API_URL: `http://127.0.0.1:${github.address().port}`, BACKFILL_DAYS: String(DAYS) }
  await run('collect')
})
after(async () => {
  github?.close()
  github?.closeAllConnections()
  if (folder) rmSync(folder, { recursive: true, force: true })
})

/** What the library finds wrong with a card. */
function found(card) {
  const context = new SerializationContext(Versions.v1_4)
  const parsed = new AdaptiveCard()
  parsed.parse(card, context)
  const events = Array.from({ length: context.eventCount }, (_, index) => context.getEventAt(index))
  const invalid = parsed.validateProperties().validationEvents
  return [...events, ...invalid].map((it) => it.message)
}

/** Each element of a card, also those in others. */
function* elements(value) {
  if (Array.isArray(value)) for (const it of value) yield* elements(it)
  else if (value !== null && typeof value === 'object') {
    if ('type' in value) yield value
    for (const it of Object.values(value)) yield* elements(it)
  }
}

/** What the library takes without a word: an element that has nothing to show, or leads nowhere. */
function lacking(card) {
  return [...elements(card)].flatMap((it) => {
    const isText = (name) => typeof it[name] === 'string' && it[name] !== ''
    if (it.type === 'TextRun' || it.type === 'TextBlock') return isText('text') ? [] : [`${it.type} without text`]
    if (it.type === 'Action.OpenUrl') return isText('url') && /^https?:\/\//.test(it.url) ? [] : [`${it.type} without url`]
    if (it.type === 'RichTextBlock') return Array.isArray(it.inlines) && it.inlines.length > 0 ? [] : ['RichTextBlock without inlines']
    return []
  })
}

/** The card of a digest, which is the only attachment. */
async function cardOf(...parameters) {
  const body = JSON.parse(await run('digest', 'payments', '--format', 'teams', '--page', 'https://mergeline.example.com/v1/app/', ...parameters))
  assert.equal(body.type, 'message')
  assert.equal(body.attachments.length, 1)
  assert.equal(body.attachments[0].contentType, 'application/vnd.microsoft.card.adaptive')
  return body.attachments[0].content
}

describe('a digest for Microsoft Teams', () => {
  test('is a card of version 1.4 in which the library finds nothing wrong, with all that mail says', async () => {
    const card = await cardOf()
    assert.deepEqual([card.type, card.version], ['AdaptiveCard', '1.4'])
    assert.deepEqual(found(card), [])
    assert.deepEqual(lacking(card), [])
    const runs = [...elements(card)].filter((it) => it.type === 'TextRun').map((it) => it.text)
    const said = runs.join(' ').replace(/\s+/g, ' ')
    for (const title of HOSTILE.slice(0, 2)) assert.ok(said.includes(title), `${title}: ${said}`)
    assert.ok(said.includes('Pay & <Ments>') && /11 pull requests merged/.test(said) && /Lasting changes/.test(said), said)
    const links = [...elements(card)].filter((it) => it.type === 'Action.OpenUrl').map((it) => it.url)
    assert.ok(links.some((it) => it.startsWith('https://mergeline.example.com/v1/app/#/')) && links.some((it) => it.endsWith('/acme/api/pull/' + it.split('/').at(-1))), links.join())
    assert.ok(JSON.stringify(card).length <= 20_000)
    const bare = await cardOf('--no-titles')
    assert.deepEqual([found(bare), lacking(bare)], [[], []])
    for (const title of HOSTILE) assert.ok(!JSON.stringify(bare).includes(title), title)
  })

  test('would be refused here if it had an element that Teams does not know, or lacked a text or an address', () => {
    const card = (...body) => ({ type: 'AdaptiveCard', version: '1.4', body })
    const run = (of) => card({ type: 'RichTextBlock', inlines: [of] })
    assert.ok(found(card({ type: 'TextBlok', text: 'x' })).length > 0, 'an unknown element')
    assert.deepEqual(lacking(run({ type: 'TextRun' })), ['TextRun without text'])
    assert.deepEqual(lacking(run({ type: 'TextRun', text: 'x', selectAction: { type: 'Action.OpenUrl' } })), ['Action.OpenUrl without url'])
    assert.deepEqual(lacking(card({ type: 'RichTextBlock', inlines: [] })), ['RichTextBlock without inlines'])
  })
})

describe('a card as the library draws it', () => {
  test('shows hostile titles as text, and nothing is cut where it is narrow', async () => {
    const card = await cardOf()
    const browser = await launch()
    try {
      for (const width of [640, 360]) {
        const page = await browser.newPage({ viewport: { width, height: 900 } })
        await page.setContent('<main></main>')
        await page.addScriptTag({ path: require.resolve(LIBRARY) })
        await page.evaluate((it) => {
          const drawn = new globalThis.AdaptiveCards.AdaptiveCard()
          drawn.parse(it)
          document.querySelector('main').append(drawn.render())
        }, card)
        const text = await page.locator('main').innerText()
        for (const title of HOSTILE.slice(0, 2)) assert.ok(text.includes(title), `${title}: ${text}`)
        assert.equal(await page.locator('main').locator('at, b, script').count(), 0)
        assert.equal(await page.getByRole('link', { name: card.actions[0].title }).count(), 1)
        assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, `at ${width} nothing is scrolled sideways`)
        if (process.env.DIGEST_PICTURES) await page.screenshot({ path: join(process.env.DIGEST_PICTURES, `card-${width}.png`), fullPage: true })
        await page.close()
      }
    } finally {
      await browser.close()
    }
  })
})

describe('a digest for mail', () => {
  test('shows hostile titles as text, and is readable for everyone, also where it is narrow', async () => {
    const html = await run('digest', 'payments', '--format', 'html', '--page', 'https://mergeline.example.com/v1/app/')
    const browser = await launch()
    try {
      for (const width of [640, 360]) {
        const page = await browser.newPage({ viewport: { width, height: 900 } })
        await page.setContent(html)
        const text = await page.locator('body').innerText()
        for (const title of HOSTILE.slice(0, 2)) assert.ok(text.includes(title), `${title}: ${text}`)
        assert.equal(await page.locator('script, img, at, [style*="expression"]').count(), 0)
        assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, `at ${width} nothing is scrolled sideways`)
        // A mail is part of another page, which has the landmarks.
        assert.deepEqual((await violations(page)).filter((it) => !/^(region|landmark-one-main):/.test(it)), [], `at ${width}`)
        if (process.env.DIGEST_PICTURES) await page.screenshot({ path: join(process.env.DIGEST_PICTURES, `mail-${width}.png`), fullPage: true })
        await page.close()
      }
    } finally {
      await browser.close()
    }
  })
})
