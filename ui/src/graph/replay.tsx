// The graph of another time: a slider over what is kept in fine steps, and a button that lets it run.
import { useEffect, useRef, useState } from 'preact/hooks';
import { changes, moments, momentWords } from '../lib/changes';
import { clock, seconds, span } from '../lib/format';
import { WINDOWS } from '../lib/live';
import { option, set } from '../lib/router';

/** How far back, in seconds, series are kept every 5 s. */
const KEPT = 15 * 60;
const STEP = 5;

export function Replay() {
  const at = option('at');
  const open = option('replay') === '1' || at !== '';
  const [runs, run] = useState(false);
  const now = useRef(Date.now() / 1000);
  if (!at) now.current = Date.now() / 1000;
  const end = Math.max(now.current, Number(at) || 0);
  const start = end - KEPT;
  const value = at ? Number(at) : end;
  useEffect(() => {
    if (!runs) return;
    const timer = setInterval(() => {
      const next = Number(option('at')) + STEP;
      if (!option('at') || next >= Date.now() / 1000 - STEP) {
        run(false);
        set({ at: '' });
      } else set({ at: Math.round(next) });
    }, 1000);
    return () => clearInterval(timer);
  }, [runs]);
  if (!open) {
    return (
      <p class="replay-closed">
        <button type="button" class="link" onClick={() => set({ replay: 1 })}>
          Replay the last 15 minutes
        </button>
      </p>
    );
  }
  return (
    <div class="replay" role="group" aria-label="Replay">
      <button
        type="button"
        class="button"
        onClick={() => {
          if (!at) set({ at: Math.round(start + 60) });
          run(!runs);
        }}
      >
        {runs ? 'Stop' : 'Play'}
      </button>
      <div class="replay-track">
        <Marks
          start={start}
          end={end}
          go={(time) => {
            run(false);
            set({ at: time });
          }}
        />
        <input
          type="range"
          aria-label="Time shown"
          aria-valuetext={at ? `${clock(value)}, ${span(end - value)} ago` : 'now'}
          min={Math.round(start)}
          max={Math.round(end)}
          step={STEP}
          value={Math.round(value)}
          onInput={(e) => {
            run(false);
            set({ at: (e.target as HTMLInputElement).value });
          }}
        />
      </div>
      <output>{at ? clock(value) : 'now'}</output>
      <button
        type="button"
        class="link"
        onClick={() => {
          run(false);
          set({ at: '', replay: '' });
        }}
      >
        Back to now
      </button>
      <span class="hidden-text">Window {seconds(option('window', WINDOWS[2]))} s</span>
    </div>
  );
}

/** Marks that are shown at most: more are no help. */
const MARKS = 40;

/** Where something was changed; each leads to the first moment that shows what it did. */
function Marks({ start, end, go }: { start: number; end: number; go: (time: number) => void }) {
  const all = moments(changes.value).filter((m) => m.time > start && m.time < end);
  return (
    <>
      {all.slice(0, MARKS).map((moment) => {
        const words = `${clock(moment.time)}, changed: ${momentWords(moment)}`;
        return (
          <button
            type="button"
            key={moment.time}
            class="replay-mark"
            title={words}
            aria-label={words}
            style={{ left: `calc(8px + (100% - 16px) * ${(moment.time - start) / (end - start)})` }}
            // Rates are measured up to the last tick: the one after the change.
            onClick={() => go(Math.ceil(moment.time) + 2 * STEP)}
          />
        );
      })}
    </>
  );
}
