// Data of a page: loading, there, gone stale, or not to be had and why.
import { useEffect, useRef, useState } from 'preact/hooks';
import { ask, Failed, type Problem } from './api';
import { era, type Topic, ticks } from './live';

export interface Loaded<T> {
  data: T | undefined;
  /** Why the last try failed; with `data` still there, these are old. */
  problem: Problem | undefined;
  /** When `data` came, in milliseconds. */
  at: number;
  again: () => void;
}

/** Asks for `path` now, whenever it changes, and whenever the topic does. */
export function useAsk<T>(
  path: string | null,
  topic: Topic = 'traffic',
  read?: (path: string) => Promise<T>,
): Loaded<T> {
  const [state, put] = useState<{ path: string | null; data?: T; problem?: Problem; at: number }>({
    path: null,
    at: 0,
  });
  const [tries, retry] = useState(0);
  const busy = useRef<AbortController | undefined>(undefined);
  const tick = ticks[topic].value;
  const now = era.value;
  const asked = useRef(now);
  // A tick, a try and another era mean to ask again
  useEffect(() => {
    if (path === null) return;
    // A slow answer is waited for rather than asked for twice, unless it is about what is gone.
    if (busy.current && state.path === path && !busy.current.signal.aborted && asked.current === now) return;
    asked.current = now;
    busy.current?.abort();
    const control = new AbortController();
    busy.current = control;
    const from = read ? read(path) : ask<T>(path, { signal: control.signal });
    from.then(
      (data) => {
        if (busy.current !== control) return;
        busy.current = undefined;
        put({ path, data, at: Date.now() });
      },
      (error: unknown) => {
        if (busy.current !== control) return;
        busy.current = undefined;
        if (error instanceof DOMException) return;
        const problem =
          error instanceof Failed
            ? error.problem
            : { status: 0, reason: 'Unreadable', message: `The answer could not be read: ${String(error)}`, fix: null };
        put((old) => (old.path === path && old.data !== undefined ? { ...old, problem } : { path, problem, at: 0 }));
      },
    );
  }, [path, tick, tries, now]);
  useEffect(
    () => () => {
      busy.current?.abort();
      busy.current = undefined;
    },
    [],
  );
  const current = state.path === path;
  return {
    // While the next answer is on its way, the old one stays to be seen.
    data: state.data,
    problem: current ? state.problem : undefined,
    at: state.at,
    again: () => retry(tries + 1),
  };
}
