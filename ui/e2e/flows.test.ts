// What people do, most of it by keyboard alone; and what pages say when something is missing.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { launch, open } from './browser';
import { graph, large } from './data';
import { type Mock, mock } from './mock';

let browser: Browser;
let server: Mock;
let page: Page & { problems: string[] };
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser?.close());
beforeEach(async () => {
  server = await mock();
});
afterEach(async () => {
  await page?.close();
  await server.close();
});

const focused = () =>
  page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? '');

/** Presses Tab until what has the focus is called so. */
async function tabTo(name: RegExp): Promise<void> {
  for (let n = 0; n < 80; n += 1) {
    await page.keyboard.press('Tab');
    if (name.test(await focused())) return;
  }
  throw new Error(`Tab never came to ${name}; it is at ${await focused()}`);
}

describe('the graph', () => {
  test('an error is hunted down by keyboard only', async () => {
    page = await open(browser, server.url);
    await page.waitForSelector('main h1');
    await page.keyboard.press('g');
    await page.keyboard.press('g');
    await page.waitForSelector('.mirror button');
    await tabTo(/^workload istio-ingressgateway/);
    await page.keyboard.press('ArrowRight');
    await page.waitForTimeout(60);
    expect(await focused()).toMatch(/^workload productpage v1 in default: /);
    // Along the busiest call, then down to the second version, which calls the one that fails.
    await page.keyboard.press('ArrowRight');
    await page.waitForTimeout(60);
    for (let n = 0; n < 4 && !/reviews v2/.test(await focused()); n += 1) {
      await page.keyboard.press('ArrowDown');
      await page.waitForTimeout(60);
    }
    await page.keyboard.press('ArrowRight');
    await page.waitForTimeout(60);
    expect(await focused()).toMatch(/^workload ratings v1 in default: failing/);
    await page.keyboard.press('Enter');
    await page.waitForSelector('.panel h2');
    expect(await page.textContent('.panel')).toContain('25 % of requests failed');
    await tabTo(/^reviews v2$/);
    await page.keyboard.press('Enter');
    await page.waitForFunction(() =>
      document.querySelector('.panel')?.textContent?.includes('aborted by an injected fault'),
    );
    expect(page.url()).toContain('sel=');
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => !document.querySelector('.panel'));
    expect(page.problems).toEqual([]);
  });

  test('the red edge is red, and told in words', async () => {
    page = await open(browser, `${server.url}#/graph`);
    await page.waitForSelector('.mirror button');
    const red = await page.evaluate(() => {
      const canvas = document.querySelector<HTMLCanvasElement>('.graph-base')!;
      const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
      let count = 0;
      for (let n = 0; n < data.length; n += 4)
        if (data[n]! > 170 && data[n + 1]! < 80 && data[n + 2]! < 90 && data[n + 3]! > 200) count += 1;
      return count;
    });
    expect(red).toBeGreaterThan(150);
    const words = await page.locator('.mirror button[data-id="default/ratings-v1"]').getAttribute('aria-label');
    expect(words).toContain('failing');
  });

  test('figures are the same in picture, table and answer', async () => {
    page = await open(browser, `${server.url}#/graph?view=table`);
    await page.waitForSelector('tbody tr');
    const rows = await page.locator('tbody tr').allTextContents();
    expect(rows).toHaveLength(graph.edges.length);
    for (const edge of graph.edges) {
      const rate = edge.rate >= 10 ? edge.rate.toFixed(1) : String(Number(edge.rate.toFixed(2)));
      const to = edge.target.split('/')[1].split('-')[0];
      expect(
        rows.some((row) => row.includes(to) && row.includes(`${rate}/s`)),
        `${edge.source} to ${edge.target}: ${rate}`,
      ).toBe(true);
    }
  });

  test('nothing moves when only figures change', async () => {
    let rate = 1;
    server.routes.graph = () => {
      rate += 1;
      return { json: { ...graph, edges: graph.edges.map((e: object) => ({ ...e, rate })) } };
    };
    page = await open(browser, `${server.url}#/graph`);
    await page.waitForFunction(() => (window.__mesh?.graph.visible().length ?? 0) > 5);
    const where = () =>
      page.evaluate(() => window.__mesh!.graph.visible().map((id) => [id, window.__mesh!.graph.screen(id)]));
    const [before, draws] = [await where(), await page.evaluate(() => window.__mesh!.graph.cost().draws)];
    server.emit('event: tick\ndata: {"changed":["traffic"]}\n\n');
    await page.waitForFunction((n) => window.__mesh!.graph.cost().draws > n, draws, { timeout: 15_000 });
    expect(await where()).toEqual(before);
  });

  test('find and hide, with parentheses, and what is wrong with a question', async () => {
    page = await open(browser, `${server.url}#/graph?view=table`);
    await page.waitForSelector('tbody tr');
    await page.fill('#graph-find', '(version = v2 or version = v3) and ! healthy');
    await page.waitForTimeout(100);
    expect(decodeURIComponent(page.url().replaceAll('+', ' '))).toContain('find=(version = v2');
    await page.fill('#graph-find', 'nmespace = default');
    expect(await page.textContent('#problem-find')).toContain('nothing is called');
    await page.fill('#graph-find', '%httperr > 10');
    await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 1);
    await page.fill('#graph-find', '');
    await page.fill('#graph-hide', 'app = reviews');
    await page.waitForFunction((n) => document.querySelectorAll('tbody tr').length < n, graph.edges.length);
  });

  test('a thousand services are painted, and panning needs no new drawing', async () => {
    const big = large(1000);
    server.routes.graph = () => ({ json: big });
    page = await open(browser, `${server.url}#/graph`);
    await page.waitForFunction(
      () => (window.__mesh?.graph.cost().draws ?? 0) > 0 && (window.__mesh?.graph.cost().fromData ?? 0) > 0,
    );
    const cost = await page.evaluate(() => window.__mesh!.graph.cost());
    console.log(
      `1,000 services, ${big.edges.length} calls: painted ${cost.fromData.toFixed(0)} ms after the data arrived, of which drawing ${cost.paint.toFixed(0)} ms`,
    );
    const box = (await page.locator('.graph-canvas').boundingBox())!;
    const frames = await pan(box);
    console.log(`panning for 2 s: ${frames.count} frames, the longest ${frames.longest.toFixed(0)} ms`);
    expect(await page.evaluate(() => window.__mesh!.graph.visible().length)).toBeGreaterThan(800);
    // From far, a namespace is one thing that can be entered.
    const [x, y] = (await page.evaluate(() => window.__mesh!.graph.screen('team-08/s212')))!;
    await page.mouse.click(box.x + x, box.y + y);
    await page.waitForFunction(() => document.querySelectorAll('.mirror button').length > 10);
  });

  async function pan(box: {
    x: number;
    y: number;
    width: number;
    height: number;
  }): Promise<{ count: number; longest: number }> {
    await page.evaluate(() => {
      const times: number[] = [];
      (window as unknown as { frames: number[] }).frames = times;
      const step = (t: number) => {
        times.push(t);
        requestAnimationFrame(step);
      };
      requestAnimationFrame(step);
    });
    const [cx, cy] = [box.x + box.width / 2, box.y + box.height / 2];
    await page.mouse.move(cx, cy);
    await page.mouse.down();
    const until = Date.now() + 2000;
    for (let n = 0; Date.now() < until; n += 1)
      await page.mouse.move(cx + 160 * Math.sin(n / 12), cy + 60 * Math.cos(n / 9));
    await page.mouse.up();
    const times = await page.evaluate(() => (window as unknown as { frames: number[] }).frames);
    const gaps = times.slice(1).map((t, n) => t - times[n]!);
    return { count: gaps.length, longest: Math.max(...gaps) };
  }
});

describe('configuration', () => {
  test('is checked as one types, compared, and applied with the token against forged requests', async () => {
    page = await open(browser, `${server.url}#/config/VirtualService/default/ratings`);
    await page.waitForSelector('.editor');
    const content = page.locator('.cm-content');
    await content.click();
    await page.keyboard.press('Control+End');
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('End');
    for (let n = 0; n < 'ratings'.length; n += 1) await page.keyboard.press('Backspace');
    await page.keyboard.type('ratngs');
    await page.waitForFunction(() =>
      document.querySelector('.findings')?.textContent?.includes('did you mean ratings?'),
    );
    for (let n = 0; n < 'ngs'.length; n += 1) await page.keyboard.press('Backspace');
    await page.keyboard.type('ings-canary');
    await page.waitForFunction(() => document.querySelector('.edit-bar')?.textContent?.includes('no findings'));
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Show the difference' }).press('Enter');
    await page.waitForSelector('.diff');
    await page.getByRole('button', { name: 'Apply', exact: true }).press('Enter');
    await page.waitForFunction(() => document.querySelector('.edit')?.textContent?.includes('Applied.'));
    const put = server.writes.find((w) => w.method === 'PUT');
    expect(put?.csrf).toBe('the-token');
    expect(put?.path).toContain('resourceVersion=81');
    expect(put?.body).toContain('ratings-canary');
    expect(page.problems).toEqual([]);
  });

  test('a version is gone back to', async () => {
    page = await open(browser, `${server.url}#/config/VirtualService/default/ratings?tab=history`);
    await page.getByRole('button', { name: 'Go back to it' }).first().press('Enter');
    await page.waitForFunction(() => document.body.textContent?.includes('It is as in version 2 again.'));
    expect(server.writes[0]).toMatchObject({ method: 'POST', csrf: 'the-token' });
    expect(server.writes[0]?.path).toContain('revert?version=2');
  });

  test('who may only read is told how to log in', async () => {
    server.routes.session = () => ({
      json: {
        user: 'anonymous',
        mode: 'anonymous',
        canRead: true,
        canWrite: false,
        readOnly: false,
        csrf: null,
        expires: null,
        loginCommand: 'tulle dashboard',
      },
    });
    page = await open(browser, `${server.url}#/config/VirtualService/default/ratings`);
    await page.waitForSelector('.edit');
    expect(await page.textContent('.edit')).toContain('log in');
    expect(await page.getByRole('button', { name: 'Apply', exact: true }).isDisabled()).toBe(true);
  });
});

describe('requests', () => {
  test('new ones come in by themselves, and one is explained', async () => {
    page = await open(browser, `${server.url}#/requests`);
    await page.waitForFunction(() => document.querySelector('tbody')?.textContent?.includes('/ratings/live'));
    await page.getByRole('button', { name: 'GET /ratings/live' }).press('Enter');
    expect(await page.textContent('.explained')).toContain('no healthy endpoint');
    await page.getByLabel('Errors only').press('Space');
    expect(page.url()).toContain('errors=true');
  });
});

describe('logging in', () => {
  test('the link of the command logs in and leaves the address', async () => {
    server.routes.login = (_, body) =>
      JSON.parse(body).token === 'once'
        ? {
            json: {
              user: 'jane',
              mode: 'session',
              canRead: true,
              canWrite: true,
              readOnly: false,
              csrf: 'c',
              expires: null,
            },
          }
        : {
            status: 401,
            json: {
              error: { status: 401, reason: 'BadToken', message: 'That token is wrong.', fix: 'Get a new one.' },
            },
          };
    page = await open(browser, `${server.url}login#token=once`);
    await page.waitForSelector('main h1');
    expect(page.url()).not.toContain('once');
    expect(await page.textContent('main h1')).toBe('Health of the mesh');
  });

  test('a wrong token is told', async () => {
    server.routes.session = () => ({
      json: {
        user: '',
        mode: 'none',
        canRead: false,
        canWrite: false,
        readOnly: false,
        csrf: null,
        expires: null,
        loginCommand: 'tulle dashboard',
      },
    });
    server.routes.login = () => ({
      status: 401,
      json: { error: { status: 401, reason: 'BadToken', message: 'That token is wrong.', fix: 'Get a new one.' } },
    });
    server.routes.overview = () => ({
      status: 401,
      json: { error: { status: 401, reason: 'Unauthorized', message: 'Reading needs a login.', fix: null } },
    });
    page = await open(browser, server.url);
    await page.getByRole('link', { name: 'Log in' }).last().press('Enter');
    await page.getByLabel('Token, or the whole link').fill('nonsense');
    await page.keyboard.press('Enter');
    expect(await page.getByRole('alert').textContent()).toContain('That token is wrong.');
  });
});

describe('what is missing is told', () => {
  test('no traffic, and why that may be', async () => {
    server.routes.graph = () => ({ json: { ...graph, nodes: [], edges: [] } });
    page = await open(browser, `${server.url}#/graph`);
    await page.waitForSelector('.note');
    expect(await page.textContent('.note')).toContain('No calls were counted');
  });

  test('a control plane that goes away leaves old figures, named as such, and comes back', async () => {
    let down = false;
    server.routes.events = () => ({ status: 404, json: {} });
    const whole = server.routes.graph!;
    server.routes.graph = (...args) =>
      down
        ? {
            status: 503,
            json: {
              error: { status: 503, reason: 'Starting', message: 'The telemetry store is being read.', fix: null },
            },
          }
        : whole(...args);
    page = await open(browser, `${server.url}#/graph?view=table`);
    await page.waitForSelector('tbody tr');
    down = true;
    await page.waitForSelector('.stale', { timeout: 15_000 });
    expect(await page.textContent('.stale')).toContain('The telemetry store is being read.');
    expect(await page.locator('tbody tr').count()).toBe(graph.edges.length);
    expect(await page.textContent('.top')).toContain('Every 5 s');
    down = false;
    await page.getByRole('button', { name: 'Try again' }).press('Enter');
    await page.waitForFunction(() => !document.querySelector('.stale'));
  });

  test('an error names the way out', async () => {
    server.routes.overview = () => ({
      status: 500,
      json: {
        error: { status: 500, reason: 'Internal', message: 'The store is closed.', fix: 'Restart the control plane.' },
      },
    });
    page = await open(browser, server.url);
    await page.waitForSelector('.note-bad');
    expect(await page.textContent('.note-bad')).toContain('Restart the control plane.');
  });
});

test('below the path of a proxy everything works, and nothing is asked elsewhere', async () => {
  const below = await mock({}, '/proxy/tulle/');
  const elsewhere: string[] = [];
  page = await open(browser, 'about:blank');
  page.on('request', (r) => {
    if (!r.url().startsWith(below.url)) elsewhere.push(r.url());
  });
  await page.goto(`${below.url}#/config/VirtualService/default/ratings`);
  await page.waitForSelector('.cm-content');
  await page.goto(`${below.url}#/graph`);
  await page.waitForSelector('.mirror button');
  expect(elsewhere).toEqual([]);
  await below.close();
});
