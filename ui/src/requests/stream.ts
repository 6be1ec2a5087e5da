// Requests as they come, some at a time.
import { useEffect, useRef } from 'preact/hooks';
import { address } from '../lib/api';
import type { Request } from './record';

/** Rows that are kept on the page, and kept of them where they are shown by kind. */
export const MOST = 300;
export const MOST_BY_KIND = 1000;

/** With what came, the newest first; what is there already is not there twice. */
export function newest(more: Request[], old: Request[], most: number): Request[] {
  const known = new Set(old.map((r) => r.seq));
  const fresh = more.filter((r) => !known.has(r.seq));
  return fresh.length === 0 ? old : [...fresh.reverse(), ...old].slice(0, most);
}

/** Rows of a stream, some at a time, so that ten thousand a second do not draw ten thousand times. */
export function useStream(
  path: string | null,
  more: (rows: Request[]) => void,
  lost: (count: number) => void,
  missed: () => void,
): void {
  const take = useRef({ more, lost, missed });
  take.current = { more, lost, missed };
  useEffect(() => {
    if (path === null) return;
    let waiting: Request[] = [];
    const events = new EventSource(address(path));
    let broke = false;
    events.addEventListener('error', () => {
      broke = true;
    });
    events.addEventListener('open', () => {
      if (broke) take.current.missed();
      broke = false;
    });
    events.addEventListener('request', (event) => {
      if (waiting.length >= MOST) {
        waiting.shift();
        take.current.lost(1);
      }
      waiting.push(JSON.parse(event.data) as Request);
    });
    events.addEventListener('lost', (event) => take.current.lost((JSON.parse(event.data) as { count: number }).count));
    const timer = setInterval(() => {
      if (waiting.length === 0 || document.hidden) return;
      take.current.more(waiting);
      waiting = [];
    }, 400);
    return () => {
      events.close();
      clearInterval(timer);
    };
  }, [path]);
}
