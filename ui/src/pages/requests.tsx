// Single requests, as proxies recorded them: those of a while ago, and live.
import { useEffect, useState } from 'preact/hooks';
import { ask, Failed, type Problem } from '../lib/api';
import { restarts } from '../lib/live';
import { option, set } from '../lib/router';
import { Choice, Title } from '../parts/bits';
import { CopyMenu } from '../parts/copy';
import { Wrong } from '../parts/state';
import { command, Filters, filters } from '../requests/filters';
import type { Request } from '../requests/record';
import { Rows } from '../requests/rows';
import { MOST, MOST_BY_KIND, newest, useStream } from '../requests/stream';
import { Top } from '../requests/top';

export function RequestsPage() {
  const [rows, put] = useState<Request[]>([]);
  const [lost, lose] = useState(0);
  const [problem, fail] = useState<Problem | null>(null);
  const [loading, load] = useState(true);
  const [tries, retry] = useState(0);
  const held = option('hold') === '1';
  const query = filters();
  const top = option('view') === 'top';
  const run = restarts.value;
  // A try means to ask again; so does another run of the server, which numbers requests anew
  useEffect(() => {
    let over = false;
    load(true);
    put([]);
    lose(0);
    ask<{ requests: Request[] }>(`requests?${query}&limit=${top ? MOST_BY_KIND : 100}`).then(
      (answer) => {
        if (over) return;
        fail(null);
        load(false);
        // What came meanwhile stays above it.
        put((old) => newest(old.toReversed(), answer.requests, MOST_BY_KIND));
      },
      (error: unknown) => {
        if (over) return;
        load(false);
        fail(error instanceof Failed ? error.problem : { status: 0, reason: '', message: String(error), fix: null });
      },
    );
    return () => {
      over = true;
    };
  }, [query, tries, run, top]);
  useStream(
    held || problem !== null ? null : `requests/stream?${query}`,
    (more) => put((old) => newest(more, old, top ? MOST_BY_KIND : MOST)),
    (n) => lose((old) => old + n),
    () => retry((old) => old + 1),
  );
  return (
    <>
      <Title
        sub="Every error and slow request is kept, of the rest a share. Bodies are never recorded, secret headers are blacked out."
        actions={
          <>
            <button type="button" class="button" aria-pressed={held} onClick={() => set({ hold: held ? '' : 1 })}>
              {held ? 'Go on' : 'Hold'}
            </button>
            <CopyMenu
              items={[
                { name: 'Command', text: command() },
                { name: 'curl', text: `curl -sN '${new URL(`./api/requests/stream?${query}`, document.baseURI)}'` },
                { name: 'NDJSON of what is shown', text: rows.map((r) => JSON.stringify(r)).join('\n') },
              ]}
            />
          </>
        }
      >
        Requests
      </Title>
      <div class="toolbar">
        <Choice
          label="How requests are shown"
          name="view"
          value={top ? 'top' : ''}
          options={[
            { id: '', name: 'One by one' },
            { id: 'top', name: 'By kind', about: 'Requests of the same kind together, the most frequent first' },
          ]}
          onPick={(id) => set({ view: id })}
        />
      </div>
      <Filters />
      {lost > 0 && (
        <p class="stale" role="status">
          {lost} requests came faster than they could be shown. A narrower filter loses none.
        </p>
      )}
      {problem && rows.length === 0 ? (
        <Wrong problem={problem} again={() => retry(tries + 1)} />
      ) : top && !loading ? (
        <Top rows={rows} />
      ) : (
        <Rows rows={rows} loading={loading} />
      )}
    </>
  );
}
