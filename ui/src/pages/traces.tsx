// Traces that are kept, errors and slow ones longest, and one of them as a waterfall.
import { ask, Failed } from '../lib/api';
import { count, millis } from '../lib/format';
import { link, option, place, set } from '../lib/router';
import { useAsk } from '../lib/use';
import { Card, Figure, Filter, Title } from '../parts/bits';
import { CopyMenu } from '../parts/copy';
import { Sign } from '../parts/sign';
import { Note, Show } from '../parts/state';
import { Table } from '../parts/table';

interface Summary {
  trace_id: string;
  root: string;
  service: string;
  start: number;
  duration: number;
  spans: number;
  errors: number;
  status: number | null;
  services: { name: string; spans: number; errors: number }[];
  events: number;
  complete: boolean;
}

interface Span {
  span_id: string;
  parent_id: string;
  service: string;
  pod: string;
  namespace: string;
  name: string;
  kind: 'server' | 'client';
  start: number;
  duration: number;
  depth: number;
  critical: boolean;
  error: boolean;
  status: number | null;
  flags: string;
  tags: Record<string, string>;
  events: { time: number; name: string; attributes: Record<string, string> }[];
}

interface Trace {
  trace_id: string;
  start: number;
  duration: number;
  spans: Span[];
  services: string[];
}

export function TracesPage() {
  const id = place.value.parts[1];
  return id ? <One id={id} /> : <All />;
}

function All() {
  const query = new URLSearchParams({ limit: '100' });
  for (const name of ['service', 'operation', 'min_duration', 'errors'])
    if (option(name)) query.set(name, option(name));
  const loaded = useAsk<{ traces: Summary[]; kept: number; lost: number }>(`traces?${query}`);
  const services = useAsk<{ services: string[] }>('traces?services=1', 'configuration', (path) =>
    ask<{ services: string[] }>(path).catch(quiet),
  );
  return (
    <>
      <Title
        sub="Of the traces that proxies sample, those with errors and slow ones are kept longest."
        actions={
          <CopyMenu
            items={[{ name: 'curl', text: `curl -s '${new URL(`./api/traces?${query}`, document.baseURI)}'` }]}
          />
        }
      >
        Traces
      </Title>
      <div class="toolbar">
        <label class="field">
          <span class="hidden-text">Service</span>
          <input
            type="search"
            list="traced"
            placeholder="Service, as reviews.default"
            value={option('service')}
            onInput={(e) => set({ service: (e.target as HTMLInputElement).value })}
          />
          <datalist id="traced">
            {services.data?.services.map((s) => (
              <option key={s} value={s} />
            ))}
          </datalist>
        </label>
        <Filter name="operation" label="Operation" />
        <Filter name="min_duration" label="At least as long as" placeholder="Longer than, as 250ms" />
        <label class="check">
          <input
            type="checkbox"
            checked={option('errors') === 'true'}
            onChange={(e) => set({ errors: (e.target as HTMLInputElement).checked ? 'true' : '' })}
          />
          Errors only
        </label>
      </div>
      <Show
        of={loaded}
        empty={({ traces }) =>
          traces.length === 0 ? (
            <Note title="No trace is kept that passes these filters.">
              Proxies keep 1 % of requests unless a Telemetry resource says otherwise, and every error and slow one. To
              keep all for a while, set tracing.randomSamplingPercentage to 100.
            </Note>
          ) : null
        }
      >
        {({ traces, kept, lost }) => (
          <>
            <List traces={traces} />
            <p class="muted">
              {count(kept)} are kept{lost > 0 && `, ${count(lost)} were lost because too many came`}.
            </p>
          </>
        )}
      </Show>
    </>
  );
}

function quiet(error: unknown): { services: string[] } {
  if (error instanceof Failed) return { services: [] };
  throw error;
}

function List({ traces }: { traces: Summary[] }) {
  const longest = Math.max(...traces.map((t) => t.duration), 1);
  return (
    <Table
      caption="Traces"
      rows={traces}
      id={(t) => t.trace_id}
      order="-worst"
      columns={[
        {
          id: 'root',
          name: 'Request',
          by: (t) => t.root,
          show: (t) => <a href={link(['traces', t.trace_id])}>{t.root}</a>,
        },
        {
          id: 'worst',
          name: 'Outcome',
          long: true,
          about: 'Errors first, then the slowest',
          by: (t) => (t.errors > 0 ? 1e9 : 0) + t.duration,
          show: (t) => (
            <Sign
              status={t.errors > 0 ? 'fail' : 'ok'}
              label={t.errors > 0 ? `${t.errors} of ${t.spans} spans failed` : String(t.status ?? 'ok')}
            />
          ),
        },
        {
          id: 'duration',
          name: 'Took',
          number: true,
          by: (t) => t.duration,
          show: (t) => (
            <span class="share">
              <span class="share-track wide" aria-hidden="true">
                <span
                  class={`share-bar ${t.errors > 0 ? 'fill-bad' : 'fill-flow'}`}
                  style={{ width: `${(100 * t.duration) / longest}%` }}
                />
              </span>
              {millis(t.duration)}
            </span>
          ),
        },
        { id: 'spans', name: 'Spans', number: true, wide: true, by: (t) => t.spans, show: (t) => count(t.spans) },
        {
          id: 'services',
          name: 'Through',
          wide: true,
          show: (t) => <span class="muted">{t.services.map((s) => s.name.split('.')[0]).join(', ')}</span>,
        },
        {
          id: 'start',
          name: 'At',
          wide: true,
          by: (t) => t.start,
          show: (t) => new Date(t.start).toLocaleTimeString('en-GB'),
        },
      ]}
    />
  );
}

function One({ id }: { id: string }) {
  const loaded = useAsk<Trace>(`traces/${encodeURIComponent(id)}`, 'configuration');
  return (
    <>
      <Title
        sub={<code class="break">{id}</code>}
        actions={
          <>
            <a class="button" href={link(['requests'], { trace_id: id })}>
              Its requests
            </a>
            <CopyMenu
              items={[
                { name: 'Trace id', text: id },
                {
                  name: 'curl, in Jaeger’s format',
                  text: `curl -s '${new URL(`./api/traces/${id}?format=jaeger`, document.baseURI)}'`,
                },
              ]}
            />
          </>
        }
      >
        {loaded.data?.spans[0]?.name ?? 'Trace'}
      </Title>
      <Show of={loaded}>
        {(t) => (
          <>
            <div class="figures">
              <Figure name="Took" value={millis(t.duration)} />
              <Figure name="Spans" value={count(t.spans.length)} />
              <Figure name="Services" value={count(t.services.length)} />
              <Figure
                name="Failed spans"
                value={count(t.spans.filter((s) => s.error).length)}
                tone={t.spans.some((s) => s.error) ? 'bad' : ''}
              />
              <Figure name="At" value={<span class="figure-small">{new Date(t.start).toLocaleString('en-GB')}</span>} />
            </div>
            <Waterfall trace={t} />
          </>
        )}
      </Show>
    </>
  );
}

function Waterfall({ trace }: { trace: Trace }) {
  const open = option('span');
  const total = Math.max(trace.duration, 0.001);
  const tones = ['flow', 'series3', 'series2', 'series4', 'series5', 'series6'];
  const toneOf = new Map(trace.services.map((s, n) => [s, tones[n % tones.length]!]));
  const marks = [0, 0.25, 0.5, 0.75, 1];
  return (
    <Card title="Spans" wide aside={<span>a line below a bar: on the critical path</span>}>
      <div class="waterfall" role="list">
        <div class="waterfall-axis" aria-hidden="true">
          {marks.map((m) => (
            <span key={m}>{millis(total * m)}</span>
          ))}
        </div>
        {trace.spans.map((s) => (
          <div key={s.span_id} role="listitem" class={`span ${open === s.span_id ? 'span-open' : ''}`}>
            <button
              type="button"
              class="span-row"
              aria-expanded={open === s.span_id}
              onClick={() => set({ span: open === s.span_id ? '' : s.span_id })}
            >
              <span class="span-name" style={{ paddingLeft: `${Math.min(s.depth, 12) * 14}px` }}>
                <i class={`fill-${toneOf.get(s.service) ?? 'flow'}`} aria-hidden="true" />
                <b>{s.service.split('.')[0]}</b> <span class="muted">{s.kind === 'client' ? 'calls' : 'serves'}</span>{' '}
                {s.error && <span class="tone-bad">{s.status || s.flags}</span>}
                {s.events.length > 0 && <span class="flag">{s.events.map((e) => e.name).join(', ')}</span>}
              </span>
              <span class="span-lane">
                <span
                  class={`span-bar fill-${s.error ? 'bad' : (toneOf.get(s.service) ?? 'flow')}${s.critical ? ' critical' : ''}${s.kind === 'client' ? ' client' : ''}`}
                  style={{
                    left: `${(100 * (s.start - trace.start)) / total}%`,
                    width: `max(3px, ${(100 * s.duration) / total}%)`,
                  }}
                />
                {s.events.map((e) => (
                  <i
                    key={`${e.name}${e.time}`}
                    class="span-event"
                    title={e.name}
                    style={{ left: `${(100 * (e.time - trace.start)) / total}%` }}
                  />
                ))}
              </span>
              <span class="span-took">{millis(s.duration)}</span>
            </button>
            {open === s.span_id && <Opened s={s} trace={trace} />}
          </div>
        ))}
      </div>
    </Card>
  );
}

function Opened({ s, trace }: { s: Span; trace: Trace }) {
  return (
    <div class="span-detail">
      <p>
        <b>{s.name}</b>{' '}
        <span class="muted">
          {s.kind}, {s.pod}, begins after {millis(s.start - trace.start)}
          {s.critical && ', on the critical path'}
        </span>
      </p>
      {s.events.length > 0 && (
        <ul class="plain">
          {s.events.map((e) => (
            <li key={`${e.name}${e.time}`}>
              <b>{e.name}</b> after {millis(e.time - trace.start)}{' '}
              <span class="muted">
                {Object.entries(e.attributes)
                  .map(([k, v]) => `${k}: ${v}`)
                  .join(', ')}
              </span>
            </li>
          ))}
        </ul>
      )}
      <dl class="facts mono">
        {Object.entries(s.tags).map(([k, v]) => (
          <>
            <dt>{k}</dt>
            <dd class="break">{v}</dd>
          </>
        ))}
      </dl>
    </div>
  );
}
