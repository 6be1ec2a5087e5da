// Debian's Chromium, driven by Playwright.
import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';

/** Where the browser is: `CHROMIUM`, or where Debian's package puts it. */
export function where(): string {
  const path = process.env.CHROMIUM ?? '/usr/bin/chromium';
  if (!existsSync(path)) throw new Error(`no Chromium at ${path}: apt-get install chromium, or set CHROMIUM`);
  return path;
}

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: where(), args: ['--no-sandbox', '--disable-dev-shm-usage'] });
}

export interface Screen {
  width: number;
  theme: 'light' | 'dark';
}

/** A page that fails the test on an error of a script or of the security policy. */
export async function open(
  browser: Browser,
  url: string,
  { width, theme }: Screen = { width: 1280, theme: 'light' },
): Promise<Page & { problems: string[] }> {
  const page = (await browser.newPage({
    viewport: { width, height: width < 500 ? 844 : 800 },
    colorScheme: theme,
    reducedMotion: 'reduce',
    deviceScaleFactor: 1,
  })) as Page & { problems: string[] };
  page.problems = [];
  page.on('pageerror', (error) => page.problems.push(error.message));
  page.on('console', (message) => {
    if (/Content Security Policy/i.test(message.text())) page.problems.push(message.text());
  });
  await page.goto(url);
  return page;
}

/** The pictures of the documentation; with `SHOTS_ALL` every page in every form is pictured. */
const DOCUMENTED = new Set([
  'home-1280-light',
  'live-graph-1280-light',
  'live-fault-1280-dark',
  'live-fault-390-light',
  'live-diff-1280-light',
  'trace-1280-dark',
  'wizard-split-1280-light',
  'config-one-1280-light',
]);

export async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env.SHOTS;
  if (folder && (process.env.SHOTS_ALL || DOCUMENTED.has(name)))
    await page.screenshot({ path: `${folder}/${name}.png` });
}
