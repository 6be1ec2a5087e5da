// Every page in both themes and widths: it has a heading and content, axe finds nothing, nothing sticks out sideways.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launch, open, picture, type Screen } from './browser';
import { type Mock, mock } from './mock';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
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
const SCREENS: Screen[] = [
  { width: 1280, theme: 'light' },
  { width: 1280, theme: 'dark' },
  { width: 390, theme: 'light' },
  { width: 390, theme: 'dark' },
];
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

interface Axe {
  run: () => Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }>;
}

async function axe(page: Page): Promise<string[]> {
  // Put in by the debugger, which the page's policy does not concern.
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { violations } = await (window as unknown as { axe: Axe }).axe.run();
    return violations.flatMap((v) =>
      v.nodes.map((n) => `${v.id}: ${n.html.slice(0, 200)} ${n.failureSummary.slice(0, 300)}`),
    );
  });
}

describe.each(SCREENS)('$width px, $theme', (screen) => {
  let page: Awaited<ReturnType<typeof open>>;
  beforeAll(async () => {
    page = await open(browser, server.url, screen);
  });
  afterAll(() => page?.close());
  test.each(Object.entries(PAGES))('%s', async (name, hash) => {
    await page.goto(server.url + hash);
    await page.waitForSelector('main h1, main .note');
    await page.waitForFunction(() => document.querySelectorAll('main .loading').length === 0);
    if (/^(config-one|config-new|wizard)/.test(name)) await page.waitForSelector('.cm-content');
    if (/^graph($|-edge)/.test(name)) await page.waitForSelector('.graph-base');
    await page.waitForFunction(() => document.querySelectorAll('.chart-wait').length === 0);
    if (SHOTS) await page.waitForTimeout(900);
    expect(await page.locator('main .note-bad').count(), 'no error is shown').toBe(0);
    await picture(page, `${name}-${screen.width}-${screen.theme}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    expect(wide, 'nothing sticks out sideways').toBe(0);
    expect(await axe(page)).toEqual([]);
    expect(page.problems.splice(0)).toEqual([]);
  });
});
