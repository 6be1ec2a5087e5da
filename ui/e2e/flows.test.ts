// What people do, most of it by keyboard alone; and what pages say when something is missing.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { axe } from './axe';
import { launch, open } from './browser';
import { changes, graph, large, oneMore } from './data';
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

/** Presses a key that moves the focus, and waits until it has. */
async function arrow(key: string): Promise<string> {
  const before = await focused();
  await page.keyboard.press(key);
  await page.waitForFunction(
    (b) => (document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? '') !== b,
    before,
  );
  return focused();
}

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
    expect(await arrow('ArrowRight')).toMatch(/^workload productpage v1 in default: /);
    // Along the busiest call, then down to the second version, which calls the one that fails.
    await arrow('ArrowRight');
    for (let n = 0; n < 4 && !/reviews v2/.test(await focused()); n += 1) await arrow('ArrowDown');
    expect(await arrow('ArrowRight')).toMatch(/^workload ratings v1 in default: failing/);
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
    await page.waitForFunction(() =>
      decodeURIComponent(location.hash.replaceAll('+', ' ')).includes('find=(version = v2'),
    );
    await page.fill('#graph-find', 'nmespace = default');
    expect(await page.textContent('#problem-find')).toContain('nothing is called');
    await page.fill('#graph-find', '%httperr > 10');
    await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 1);
    await page.fill('#graph-find', '');
    await page.fill('#graph-hide', 'app = reviews');
    await page.waitForFunction((n) => document.querySelectorAll('tbody tr').length < n, graph.edges.length);
  });

  test('a thousand services are painted in time, and panning needs no new drawing', async () => {
    const big = large(1000);
    // Another layout is seen as a whole.
    big.layout.version = graph.layout.version + 1;
    page = await open(browser, `${server.url}#/graph`);
    await page.waitForFunction(() => (window.__mesh?.graph.cost().fromData ?? 0) > 0);
    // Time of the page's own thread, so that what else the machine does is not counted; the clock's is told beside it.
    const cdp = await page.context().newCDPSession(page);
    await cdp.send('Performance.enable', { timeDomain: 'threadTicks' });
    const worked = async () => {
      const { metrics } = await cdp.send('Performance.getMetrics');
      return metrics.find((m) => m.name === 'TaskDuration')!.value * 1000;
    };
    const before = await worked();
    server.routes.graph = () => ({ json: big });
    server.emit('event: tick\ndata: {"changed":["traffic"]}\n\n');
    await page.waitForFunction(() => {
      const { graph: drawn } = window.__mesh!;
      return drawn.visible().length > 800 && drawn.cost().fromData > 0;
    });
    const spent = (await worked()) - before;
    const cost = await page.evaluate(() => window.__mesh!.graph.cost());
    console.log(
      `1,000 services, ${big.edges.length} calls: painted ${cost.fromData.toFixed(0)} ms after the data arrived (${spent.toFixed(0)} ms of the page's thread), of which drawing ${cost.paint.toFixed(0)} ms`,
    );
    expect(spent).toBeLessThan(300);
    const box = (await page.locator('.graph-canvas').boundingBox())!;
    const { frames, draws } = await pan(box);
    const sorted = frames.toSorted((a, b) => a - b);
    const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))]!.toFixed(1);
    console.log(
      `panning for 2 s: ${frames.length} frames; half within ${at(0.5)} ms, 95 % within ${at(0.95)} ms, the longest ${at(1)} ms; ${draws} new drawings`,
    );
    // Panning moves a picture that is there: what comes between two frames never draws.
    const moved = await page.evaluate(() => {
      const base = document.querySelector<HTMLElement>('.graph-base')!;
      const [was, count] = [base.style.transform, window.__mesh!.graph.cost().draws];
      for (let n = 0; n < 60; n += 1)
        document
          .querySelector('.graph-canvas')!
          .dispatchEvent(new WheelEvent('wheel', { deltaX: 2, cancelable: true }));
      return { another: base.style.transform !== was, drawn: window.__mesh!.graph.cost().draws - count };
    });
    expect(moved).toEqual({ another: true, drawn: 0 });
    expect(await page.evaluate(() => window.__mesh!.graph.visible().length)).toBeGreaterThan(800);
    // From far, a namespace is one thing that can be entered.
    const [x, y] = (await page.evaluate(() => window.__mesh!.graph.screen('team-08/s212')))!;
    await page.mouse.click(box.x + x, box.y + y);
    await page.waitForFunction(() => document.querySelectorAll('.mirror button').length > 10);
  });

  type Box = { x: number; y: number; width: number; height: number };

  /** Drags the graph about for 2 s: how long each frame took, and how often everything was drawn. */
  async function pan(box: Box): Promise<{ frames: number[]; draws: number }> {
    const drawn = () => page.evaluate(() => window.__mesh!.graph.cost().draws);
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
    const before = await drawn();
    await page.mouse.move(cx, cy);
    await page.mouse.down();
    const until = Date.now() + 2000;
    for (let n = 0; Date.now() < until; n += 1)
      await page.mouse.move(cx + 160 * Math.sin(n / 12), cy + 60 * Math.cos(n / 9));
    const draws = (await drawn()) - before;
    // Back to where it was, however far that took it.
    await page.mouse.move(cx, cy);
    await page.mouse.up();
    const times = await page.evaluate(() => (window as unknown as { frames: number[] }).frames);
    return { frames: times.slice(1).map((t, n) => t - times[n]!), draws };
  }

  test('two times are compared: a new caller is exactly one new call', async () => {
    const before = { ...graph, time: graph.time - 300, edges: graph.edges.slice(1) };
    server.routes.graph = (url) => ({ json: url.searchParams.has('time') ? before : graph });
    page = await open(browser, `${server.url}#/graph`);
    await page.waitForSelector('.mirror button');
    await page.getByLabel('Compare with').selectOption({ label: '5 min earlier' });
    await page.waitForFunction(() => document.querySelector('.compared')?.textContent?.includes(': 1 new, '));
    expect(page.url()).toContain('vs=300');
    await page.goto(`${server.url}#/graph?vs=300&view=table`);
    await page.waitForFunction(() => document.querySelector('tbody')?.textContent?.includes('new: '));
    const rows = await page.locator('tbody tr').allTextContents();
    expect(rows.filter((r) => r.includes('new: '))).toHaveLength(1);
  });

  test('changes are marks of the replay, which lead to what they did', async () => {
    const time = Math.floor(Date.now() / 1000) - 300;
    server.routes.changes = () => ({ json: { changes: [{ ...changes[0], time }] } });
    page = await open(browser, `${server.url}#/graph?replay=1`);
    const mark = page.getByRole('button', { name: /changed: VirtualService default\/ratings/ });
    await mark.press('Enter');
    await page.waitForFunction((t) => location.hash.includes(`at=${t + 10}`), time);
    await page.waitForSelector('.mirror button');
    expect(await axe(page)).toEqual([]);
  });

  test('a link to something leads to it on a telephone, too', async () => {
    const screen = { width: 390, theme: 'light' } as const;
    page = await open(browser, `${server.url}#/graph?sel=default%2Fratings-v1`, screen);
    const inSight = () =>
      page.evaluate(() => {
        const box = document.querySelector('.mirror button[data-id="default/ratings-v1"]')?.getBoundingClientRect();
        return box !== undefined && box.left >= 0 && box.right <= innerWidth;
      });
    await expect.poll(inSight).toBe(true);
    // All of it is still a key away, and stays.
    await page.getByRole('button', { name: 'Show all' }).press('Enter');
    await expect.poll(inSight).toBe(false);
  });

  test('what is idle is shown if one asks for it', async () => {
    const sleeper = { ...graph.nodes[0], id: 'default/sleeper-v1', name: 'sleeper-v1', app: 'sleeper', version: 'v1' };
    const places = { ...graph.layout.places, 'default/sleeper-v1': [40, 400] };
    server.routes.graph = (url) => ({
      json: url.searchParams.has('idle')
        ? { ...graph, nodes: [...graph.nodes, sleeper], layout: { ...graph.layout, places } }
        : graph,
    });
    page = await open(browser, `${server.url}#/graph`);
    await page.waitForSelector('.mirror button');
    expect(await page.locator('.mirror button[data-id="default/sleeper-v1"]').count()).toBe(0);
    await page.getByLabel('Idle').press('Space');
    await page.waitForSelector('.mirror button[data-id="default/sleeper-v1"]');
  });
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

describe('wizards', () => {
  test('a canary is made and applied by keyboard only, and watched coming into force', async () => {
    page = await open(browser, `${server.url}#/service/default/reviews`);
    await page.waitForSelector('main h1');
    await tabTo(/^Change routing$/);
    await page.keyboard.press('Enter');
    await page.waitForSelector('.cm-content');
    expect(await page.getByLabel('Service').inputValue()).toBe('default/reviews');
    await tabTo(/^$/);
    for (let n = 0; n < 40 && !(await isAt('f.weight-v1')); n += 1) await page.keyboard.press('Tab');
    await page.keyboard.press('Control+A');
    await page.keyboard.type('75');
    await page.waitForSelector('.guided [role=alert]');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Control+A');
    await page.keyboard.type('25');
    await page.waitForFunction(() => !document.querySelector('.guided [role=alert]'));
    expect(page.url()).toContain('f.weight-v1=75');
    await page.waitForFunction(() => document.querySelector('.edit-bar')?.textContent?.includes('no findings'));
    await page.getByRole('button', { name: 'Apply', exact: true }).focus();
    await page.keyboard.press('Enter');
    await page.waitForSelector('.propagation');
    const put = server.writes.find((w) => w.method === 'PUT');
    expect(put?.csrf).toBe('the-token');
    expect(put?.body).toContain('weight: 75');
    expect(put?.body).toContain('weight: 25');
    await page.waitForFunction(() => document.querySelector('.propagation')?.textContent?.includes('of 7 proxies'));
    expect(page.problems).toEqual([]);
  });

  const isAt = (id: string) => page.evaluate((wanted) => document.activeElement?.id === wanted, id);

  test('a resource is deleted after a question, by keyboard', async () => {
    page = await open(browser, `${server.url}#/config/VirtualService/default/ratings`);
    await page.waitForSelector('.cm-content');
    await tabTo(/^Delete$/);
    await page.keyboard.press('Enter');
    await page.waitForSelector('dialog[open]');
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => !document.querySelector('dialog[open]'));
    expect(server.writes).toEqual([]);
    await page.keyboard.press('Enter');
    await page.waitForSelector('dialog[open]');
    await page.locator('dialog[open]').getByRole('button', { name: 'Delete' }).press('Enter');
    await page.waitForFunction(() => location.hash.startsWith('#/config?'));
    expect(server.writes[0]).toMatchObject({ method: 'DELETE', csrf: 'the-token' });
  });
});

describe('by keyboard', () => {
  test('every page has a key, and the keys are told', async () => {
    page = await open(browser, server.url);
    await page.waitForSelector('main h1');
    for (const [key, title] of [
      ['g', 'Graph'],
      ['s', 'Services'],
      ['r', 'Requests'],
      ['t', 'Traces'],
      ['c', 'Configuration'],
      ['e', 'Security'],
      ['o', 'Rollouts'],
      ['p', 'Proxies'],
      ['h', 'Health of the mesh'],
    ] as const) {
      await page.keyboard.press('g');
      await page.keyboard.press(key);
      await page
        .waitForFunction(
          (t) => document.querySelector('main h1')?.textContent?.toLowerCase().includes(t.toLowerCase()),
          title,
          { timeout: 20_000 },
        )
        .catch((error: unknown) => {
          throw new Error(`g ${key} did not lead to ${title}: ${error}`);
        });
    }
    await page.keyboard.press('?');
    await page.waitForSelector('dialog[open] .keys');
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => !document.querySelector('dialog[open]'));
  });

  test('who can call whom is a table whose cells tell why', async () => {
    page = await open(browser, `${server.url}#/security/access`);
    await page.waitForSelector('.matrix');
    await tabTo(/^denied/);
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => location.hash.includes('pair='));
    expect(await page.textContent('.card')).toContain('denied');
  });
});

describe('requests', () => {
  test('new ones come in by themselves, and one is explained', async () => {
    page = await open(browser, `${server.url}#/requests`);
    await page.waitForFunction(() => document.querySelector('tbody')?.textContent?.includes('/ratings/live'));
    await page.getByRole('button', { name: 'GET /ratings/live' }).press('Enter');
    expect(await page.textContent('.explained')).toContain('no healthy endpoint');
    const rule = page.locator('.explained').getByRole('link', { name: 'VirtualService default/ratings, http[0]' });
    expect(await rule.getAttribute('href')).toBe('#/config/VirtualService/default/ratings');
    await page.getByLabel('Errors only').press('Space');
    expect(page.url()).toContain('errors=true');
  });

  test('those of the same kind are counted together, and lead to the single ones', async () => {
    page = await open(browser, `${server.url}#/requests`);
    await page.getByLabel('By kind').press('Space');
    await page.waitForFunction(() => {
      const text = document.querySelector('tbody')?.textContent ?? '';
      return text.includes('/ratings/*') && text.includes('/ratings/live');
    });
    expect(page.url()).toContain('view=top');
    const rows = await page.locator('tbody tr').allTextContents();
    expect(rows.filter((r) => r.startsWith('GET /ratings/*'))).toHaveLength(2);
    expect(rows.find((r) => r.includes('/ratings/live'))).toContain('UH');
    await page.getByRole('link', { name: 'GET /ratings/nobody' }).press('Enter');
    await page.waitForFunction(() => location.hash.includes('path=%2Fratings%2Fnobody'));
    expect(page.url()).not.toContain('view=');
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
    page = await open(browser, 'about:blank');
    await page.clock.install();
    await page.goto(`${server.url}#/graph?view=table`);
    await page.waitForSelector('tbody tr');
    down = true;
    // The page's own clock goes on by one round of asking, nobody waits for it.
    await page.clock.runFor(5_000);
    await page.waitForSelector('.stale');
    expect(await page.textContent('.stale')).toContain('The telemetry store is being read.');
    expect(await page.locator('tbody tr').count()).toBe(graph.edges.length);
    expect(await page.textContent('.top')).toContain('Every 5 s');
    down = false;
    await page.getByRole('button', { name: 'Try again' }).press('Enter');
    await page.waitForFunction(() => !document.querySelector('.stale'));
  });

  test('after a restart of the control plane nothing of the old one stays', async () => {
    let [run, asked] = ['one', 0];
    const hello = () => `retry: 100\nevent: hello\ndata: {"time":1,"instance":"${run}"}\n\n`;
    server.routes.events = () => ({ stream: [hello()] });
    server.routes['requests/stream'] = () => ({ stream: ['retry: 100\n\n'] });
    // Each run numbers its requests from 1.
    server.routes.requests = () => ({ json: { requests: [{ ...oneMore, seq: 1, path: `/of-run-${run}` }] } });
    const session = server.routes.session!;
    server.routes.session = (...args) => {
      asked += 1;
      return session(...args);
    };
    page = await open(browser, `${server.url}#/requests`);
    await page.waitForFunction(() => document.querySelector('tbody')?.textContent?.includes('/of-run-one'));
    await page.waitForSelector('.live.events');
    const before = asked;
    run = 'two';
    server.hangUp();
    await page.waitForFunction(() => document.querySelector('tbody')?.textContent?.includes('/of-run-two'));
    expect(await page.textContent('tbody')).not.toContain('/of-run-one');
    await expect
      .poll(() => asked, { message: 'sessions end with it: who one is, is asked again' })
      .toBeGreaterThan(before);
  });

  test('when the store lets go of series, a moment of the past is asked for anew', async () => {
    let kept = true;
    server.routes.graph = () => ({ json: kept ? graph : { ...graph, nodes: [], edges: [] } });
    page = await open(browser, `${server.url}#/graph?view=table&at=${Math.floor(graph.time)}`);
    await page.waitForSelector('tbody tr');
    kept = false;
    // Time goes on, which is nothing to a page of the past.
    server.emit('event: tick\ndata: {"changed":["traffic"]}\n\n');
    expect(await page.locator('tbody tr').count()).toBe(graph.edges.length);
    const reset = 'event: reset\ndata: {"series":100,"chunks":0,"samples":0}\n\n';
    await expect
      .poll(() => {
        // Until the page listens.
        server.emit(reset);
        return page.locator('.note').count();
      })
      .toBe(1);
    expect(await page.locator('tbody tr').count()).toBe(0);
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
