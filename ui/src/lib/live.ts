// When to ask again. The control plane says so by server-sent events; where it does not, or cannot be reached that way, every 5 s.
import { computed, signal } from '@preact/signals';
import { address, findSession } from './api';
import { option, place } from './router';

export type Topic = 'traffic' | 'configuration' | 'proxies';

/** Grows when what the page holds counts no more: the server is another one, or has let go of series before their time. */
export const era = signal(0);
/** How often the server was found to be another run than before: it numbers requests anew and knows no session. */
export const restarts = signal(0);

const EVERY = 5000;
/** Without any event for so long the connection is taken for dead. */
const SILENCE = 20_000;

export type Link = 'connecting' | 'events' | 'polling';
export const connection = signal<Link>('connecting');
/** How often each topic has changed. Who shows it reads it, and is told. */
export const ticks = { traffic: signal(0), configuration: signal(0), proxies: signal(0) };

/** Whether the page follows the time; it stands still at `?at=…`, when paused, and in a hidden tab. */
export const paused = signal(false);
export const following = computed(() => !paused.value && !place.value.query.get('at'));

function changed(topics: readonly string[]): void {
  if (document.hidden || !following.peek()) return;
  for (const topic of topics) if (topic in ticks) ticks[topic as Topic].value += 1;
}

const ALL: readonly Topic[] = ['traffic', 'configuration', 'proxies'];

let source: EventSource | undefined;
/** Which run of the server told us last. */
let server: string | undefined;
let last = 0;
let failures = 0;

function open(): void {
  source?.close();
  const events = new EventSource(address('events'));
  source = events;
  const heard = () => {
    last = Date.now();
    failures = 0;
    connection.value = 'events';
  };
  events.addEventListener('hello', (event) => {
    heard();
    const told = parse(event.data).instance;
    const instance = typeof told === 'string' ? told : '';
    const before = server;
    server = instance;
    if (before === undefined) return;
    if (before !== instance) {
      era.value += 1;
      restarts.value += 1;
      findSession().catch(() => undefined);
    }
    // Connected again: what was told meanwhile was missed.
    changed(ALL);
  });
  events.addEventListener('reset', () => {
    heard();
    era.value += 1;
  });
  events.addEventListener('tick', (event) => {
    heard();
    const told = parse(event.data).changed;
    changed(Array.isArray(told) ? (told as string[]) : ALL);
  });
  events.addEventListener('config', () => {
    heard();
    changed(['configuration']);
  });
  events.addEventListener('proxies', () => {
    heard();
    changed(['proxies']);
  });
  events.onerror = () => {
    failures += 1;
    connection.value = 'polling';
    // 404 or 401: the browser does not try again by itself, and neither do we, for a while.
    if (events.readyState === EventSource.CLOSED) {
      setTimeout(open, Math.min(120_000, EVERY * 2 ** failures));
      if (failures === 1) findSession().catch(() => undefined);
    }
  };
}

function parse(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}

export function start(): void {
  open();
  setInterval(() => {
    if (connection.value === 'events' && Date.now() - last < SILENCE) return;
    connection.value = connection.value === 'connecting' ? 'connecting' : 'polling';
    changed(ALL);
  }, EVERY);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) changed(ALL);
  });
}

export const WINDOWS = ['10s', '30s', '1m', '2m', '5m', '10m'] as const;

/** The window and the moment that the page is about, as parameters. */
export function timing(): string {
  const at = option('at');
  return `window=${option('window', '1m')}${at ? `&time=${at}` : ''}`;
}
