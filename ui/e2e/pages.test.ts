// Every page in both themes and widths: it has a heading and content, axe finds nothing, nothing sticks out sideways.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { axe, COLOURS } from './axe';
import { launch, open, picture } from './browser';
import { type Mock, mock } from './mock';

const TRACE = 'ab'.repeat(16);
const PAGES: Record<string, string> = {
  home: '#/',
  graph: '#/graph?sel=default%2Fratings-v1',
  'graph-edge': '#/graph?lens=latency&find=%25httperr%20%3E%201&sel=default%2Freviews-v2%E2%86%92default%2Fratings-v1',
  'graph-table': '#/graph?view=table',
  'graph-compared': '#/graph?vs=300&view=table',
  services: '#/services',
  workloads: '#/services?tab=workloads',
  service: '#/service/default/reviews',
  'service-routes': '#/service/default/reviews?tab=routes',
  'service-endpoints': '#/service/default/reviews?tab=endpoints',
  'service-applies': '#/service/default/reviews?tab=applies',
  workload: '#/workload/default/reviews-v2',
  requests: '#/requests?open=2',
  'requests-top': '#/requests?view=top',
  traces: '#/traces',
  trace: `#/traces/${TRACE}?span=0000000000000006`,
  config: '#/config',
  'config-one': '#/config/VirtualService/default/ratings',
  'config-force': '#/config/VirtualService/default/ratings?tab=force',
  'config-history': '#/config/VirtualService/default/ratings?tab=history',
  'config-all-history': '#/config?tab=history',
  'config-new': '#/config/new',
  'wizard-split': '#/config/new?wizard=split&host=default%2Freviews',
  'wizard-fault': '#/config/new?wizard=fault&host=default%2Fratings&f.percent=50',
  encryption: '#/security',
  certificates: '#/security/certificates',
  policies: '#/security/policies',
  access: '#/security/access',
  'access-list': '#/security/access?view=list',
  rollouts: '#/rollouts',
  proxies: '#/control',
  plane: '#/control?tab=plane',
  dump: '#/control/reviews-v1-abc.default?open=outbound%7C9080%7C%7Cratings.default.svc.cluster.local',
  login: '#/login',
};
/** Where pictures for the documentation go, if they are wanted. */
const SHOTS = process.env.SHOTS;

let browser: Browser;
let server: Mock;
beforeAll(async () => {
  [browser, server] = await Promise.all([launch(), mock()]);
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
});

/** The page's own background, from 0 (black) to 255. */
const brightness = (page: Page) =>
  page.evaluate(() => Number(/\d+/.exec(getComputedStyle(document.body).backgroundColor)?.[0]));

async function there(page: Page, name: string): Promise<void> {
  await page.waitForSelector('main h1, main .note');
  await page.waitForFunction(() => document.querySelectorAll('main .loading').length === 0);
  if (/^(config-one|config-new|wizard)/.test(name)) await page.waitForSelector('.cm-content');
  if (/^graph($|-edge)/.test(name)) await page.waitForSelector('.graph-base');
  await page.waitForFunction(() => document.querySelectorAll('.chart-wait').length === 0);
  if (SHOTS) await page.waitForTimeout(900);
}

/** The theme changes below a page that is open, as when a system goes to its night colours. */
async function turn(page: Page, theme: 'light' | 'dark'): Promise<void> {
  await page.emulateMedia({ colorScheme: theme });
  // Two frames: one to paint the charts anew, one in which that is seen.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  if (SHOTS) await page.waitForTimeout(400);
}

async function narrow(page: Page): Promise<void> {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  expect(wide, 'nothing sticks out sideways').toBe(0);
}

describe.each([1280, 390])('%d px, light and dark', (width) => {
  let page: Awaited<ReturnType<typeof open>>;
  beforeAll(async () => {
    page = await open(browser, server.url, { width, theme: 'light' });
  });
  afterAll(() => page?.close());
  test.each(Object.entries(PAGES))('%s', async (name, hash) => {
    await turn(page, 'light');
    await page.goto(server.url + hash);
    await there(page, name);
    expect(await page.locator('main .note-bad').count(), 'no error is shown').toBe(0);
    await picture(page, `${name}-${width}-light`);
    await narrow(page);
    expect(await axe(page)).toEqual([]);
    await turn(page, 'dark');
    expect(await brightness(page)).toBeLessThan(64);
    await picture(page, `${name}-${width}-dark`);
    await narrow(page);
    expect(await axe(page, COLOURS)).toEqual([]);
    expect(page.problems.splice(0)).toEqual([]);
  });
});

test('a page that is opened in the dark is dark from the start', async () => {
  const page = await open(browser, server.url, { width: 1280, theme: 'dark' });
  await there(page, 'home');
  expect(await brightness(page)).toBeLessThan(64);
  expect(await axe(page)).toEqual([]);
  await page.close();
});
