// Makes docs/dashboard.png, the picture in the README, from a `mergeline demo` at MERGELINE_URL.

import { launch, open } from './page.mjs'

const browser = await launch()
const { page } = await open(browser, 'overview?team=web', { viewport: { width: 1200, height: 800 } })
await page.screenshot({ path: new URL('../../../../../docs/dashboard.png', import.meta.url).pathname })
await browser.close()
