// Where one is: a path and its options, all in the hash of the address, so that a link shows the same and the server, or a proxy
// in front of it, needs to know nothing of pages.
import { computed, signal } from '@preact/signals';

export interface Place {
  /** The parts of the path, decoded: `service`, `default`, `reviews`. */
  parts: string[];
  query: URLSearchParams;
}

export function parse(hash: string): Place {
  const text = hash.replace(/^#\/?/, '');
  const [path = '', query = ''] = text.split('?', 2);
  return { parts: path.split('/').filter(Boolean).map(decode), query: new URLSearchParams(query) };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export type Options = Record<string, string | number | undefined>;

/** The address of a page; options that are empty are left out. Window and time go along from page to page. */
export function link(parts: string[], options: Options = {}): string {
  const query = new URLSearchParams();
  for (const keep of ['window', 'at']) {
    const value = place.value.query.get(keep);
    if (value && !(keep in options)) query.set(keep, value);
  }
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined && value !== '') query.set(name, String(value));
  }
  const text = query.toString();
  return `#/${parts.map(encodeURIComponent).join('/')}${text ? `?${text}` : ''}`;
}

const start = typeof location === 'undefined' ? '' : location.hash;
export const place = signal<Place>(parse(start));
export const page = computed(() => place.value.parts[0] ?? 'home');

export function listen(): void {
  addEventListener('hashchange', () => {
    place.value = parse(location.hash);
  });
}

export function go(hash: string): void {
  location.hash = hash;
}

/** Changes options of the page one is on; without a step in the history where only the look changes. */
export function set(options: Options, step = false): void {
  const query = new URLSearchParams(place.value.query);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === '') query.delete(name);
    else query.set(name, String(value));
  }
  const text = query.toString();
  const hash = `#/${place.value.parts.map(encodeURIComponent).join('/')}${text ? `?${text}` : ''}`;
  if (hash === location.hash) return;
  if (step) location.hash = hash;
  else {
    history.replaceState(null, '', hash);
    place.value = parse(hash);
  }
}

export function option(name: string, otherwise = ''): string {
  return place.value.query.get(name) ?? otherwise;
}
