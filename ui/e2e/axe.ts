// Whether axe finds anything in a page.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** What only colours can break, so that the dark theme need not be asked everything again: markup and places are the same. */
export const COLOURS = { runOnly: ['color-contrast', 'link-in-text-block'] };

interface Axe {
  run: (
    options?: object,
  ) => Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }>;
}

/** What it finds, in words. */
export async function axe(page: Page, options: object = {}): Promise<string[]> {
  // Put in by the debugger, which the page's policy does not concern; it stays for as long as the document.
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(AXE);
  return page.evaluate(async (asked) => {
    const { violations } = await (window as unknown as { axe: Axe }).axe.run(asked);
    return violations.flatMap((v) =>
      v.nodes.map((n) => `${v.id}: ${n.html.slice(0, 200)} ${n.failureSummary.slice(0, 300)}`),
    );
  }, options);
}
