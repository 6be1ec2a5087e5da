// Single requests, as proxies recorded them: those of a while ago, and live. What a proxy keeps is all errors and slow ones and a
// share of the rest; never bodies, and no header that may be secret.
import { useEffect, useRef, useState } from 'preact/hooks';
import { address, ask, Failed, type Problem } from '../lib/api';
import { bytes, millis } from '../lib/format';
import { restarts } from '../lib/live';
import { link, option, set } from '../lib/router';
import { flagWords } from '../lib/words';
import { Filter, Select, Title } from '../parts/bits';
import { CopyMenu } from '../parts/copy';
import { Lock } from '../parts/sign';
import { Note, Wrong } from '../parts/state';

interface End {
  workload: string;
  namespace: string;
  principal: string;
  address: string;
  service?: string;
}

export interface Request {
  seq: number;
  time: number;
  duration: number;
  upstream_duration: number | null;
  reporter: string;
  pod: string;
  namespace: string;
  source: End;
  destination: End;
  method: string;
  path: string;
  authority: string;
  protocol: string;
  status: number;
  grpc_status: number | null;
  flags: string;
  details: string;
  route: string;
  cluster: string;
  rule: string;
  attempts: number;
  request_bytes: number;
  response_bytes: number;
  mtls: boolean;
  request_id: string;
  trace_id: string;
  sampled: string;
  headers: Record<string, string>;
}

const FILTERS = [
  'source',
  'destination',
  'service',
  'namespace',
  'method',
  'path',
  'status',
  'flags',
  'min_duration',
  'reporter',
  'request_id',
  'errors',
];
/** Rows that are kept on the page. */
const MOST = 300;

function filters(): string {
  const query = new URLSearchParams();
  for (const name of FILTERS) if (option(name)) query.set(name, option(name));
  return query.toString();
}

export function RequestsPage() {
  const [rows, put] = useState<Request[]>([]);
  const [lost, lose] = useState(0);
  const [problem, fail] = useState<Problem | null>(null);
  const [loading, load] = useState(true);
  const [tries, retry] = useState(0);
  const held = option('hold') === '1';
  const query = filters();
  const run = restarts.value;
  // A try means to ask again; so does another run of the server, which numbers requests anew
  useEffect(() => {
    let over = false;
    load(true);
    put([]);
    lose(0);
    ask<{ requests: Request[] }>(`requests?${query}&limit=100`).then(
      (answer) => {
        if (over) return;
        fail(null);
        load(false);
        put(answer.requests);
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
  }, [query, tries, run]);
  useStream(
    held || problem !== null ? null : `requests/stream?${query}`,
    (more) => put((old) => newest(more, old)),
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
      <Filters />
      {lost > 0 && (
        <p class="stale" role="status">
          {lost} requests came faster than they could be shown. A narrower filter loses none.
        </p>
      )}
      {problem && rows.length === 0 ? (
        <Wrong problem={problem} again={() => retry(tries + 1)} />
      ) : (
        <Rows rows={rows} loading={loading} />
      )}
    </>
  );
}

function newest(more: Request[], old: Request[]): Request[] {
  const known = new Set(old.map((r) => r.seq));
  const fresh = more.filter((r) => !known.has(r.seq));
  return fresh.length === 0 ? old : [...fresh.reverse(), ...old].slice(0, MOST);
}

function command(): string {
  const parts = FILTERS.flatMap((name) => {
    const value = option(name);
    if (!value) return [];
    const flag = `--${name.replace('_', '-')}`;
    return value === 'true'
      ? [flag]
      : [`${flag} ${/^[\w./:-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`}`];
  });
  return ['tulle tap', ...parts].join(' ');
}

/** Rows of a stream, some at a time, so that ten thousand a second do not draw ten thousand times. */
function useStream(
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

function Filters() {
  return (
    <div class="toolbar">
      <Filter name="source" label="From" placeholder="From workload" />
      <Filter name="destination" label="To" placeholder="To workload" />
      <Filter name="path" label="Path begins with" placeholder="Path begins with /" />
      <Select
        name="status"
        label="Status"
        options={['', '2xx', '3xx', '4xx', '5xx', '0'].map((id) => ({
          id,
          name: id === '' ? 'any' : id === '0' ? 'no answer' : id,
        }))}
      />
      <Select
        name="method"
        label="Method"
        options={['', 'GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'].map((id) => ({
          id,
          name: id || 'any',
        }))}
      />
      <Select
        name="reporter"
        label="Told by"
        options={[
          { id: '', name: 'both sides' },
          { id: 'source', name: 'the client' },
          { id: 'destination', name: 'the server' },
        ]}
      />
      <label class="check">
        <input
          type="checkbox"
          checked={option('errors') === 'true'}
          onChange={(e) => set({ errors: (e.target as HTMLInputElement).checked ? 'true' : '' })}
        />
        Errors only
      </label>
      <span class="hidden-chips">
        {['service', 'namespace', 'flags', 'min_duration', 'request_id'].map(
          (name) =>
            option(name) && (
              <span class="chip" key={name}>
                {name.replace('_', ' ')}: {option(name)}
                <button
                  type="button"
                  class="link"
                  aria-label={`Remove the filter ${name}`}
                  onClick={() => set({ [name]: '' })}
                >
                  ×
                </button>
              </span>
            ),
        )}
      </span>
    </div>
  );
}

function Rows({ rows, loading }: { rows: Request[]; loading: boolean }) {
  const open = option('open');
  if (rows.length === 0) {
    if (loading) {
      return (
        <div class="loading" role="status">
          <span class="bar" />
          <span class="bar" />
          <span class="hidden-text">Loading</span>
        </div>
      );
    }
    return (
      <Note title="No request has come that passes these filters.">
        It waits for more: what comes is shown here at once.
      </Note>
    );
  }
  return (
    <div class="table-box" role="region" aria-label="Requests" tabIndex={0}>
      <table class="requests">
        <caption class="hidden-text">Requests, newest first</caption>
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Status</th>
            <th scope="col">Request</th>
            <th scope="col" class="wide">
              From
            </th>
            <th scope="col" class="wide">
              To
            </th>
            <th scope="col" class="num">
              Took
            </th>
            <th scope="col" class="wide">
              Kept as
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((r) => (
            <Row key={r.seq} r={r} open={open === String(r.seq)} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function status(r: Request): string {
  return r.status === 0
    ? 'bad'
    : r.status >= 500 || (r.grpc_status ?? 0) > 0
      ? 'bad'
      : r.status >= 400
        ? 'warn'
        : 'good';
}

function stamp(time: number): string {
  const at = new Date(time);
  return `${at.toLocaleTimeString('en-GB')}.${String(at.getMilliseconds()).padStart(3, '0')}`;
}

function Row({ r, open }: { r: Request; open: boolean }) {
  return (
    <>
      <tr class={open ? 'selected' : ''}>
        <td class="mono">{stamp(r.time)}</td>
        <td>
          <span class={`status tone-${status(r)}`}>{r.status === 0 ? 'none' : r.status}</span>
          {r.grpc_status !== null && <span class="muted"> grpc {r.grpc_status}</span>}
          {r.flags !== '-' && r.flags !== '' && (
            <span class="flag" title={r.flags.split(',').map(flagWords).join('; ')}>
              {r.flags}
            </span>
          )}
        </td>
        <th scope="row">
          <button
            type="button"
            class="link break"
            aria-expanded={open}
            onClick={() => set({ open: open ? '' : r.seq })}
          >
            <b>{r.method}</b> {r.path}
          </button>
        </th>
        <td class="wide">{r.source.workload || 'unknown'}</td>
        <td class="wide">{r.destination.workload || r.destination.service || r.authority}</td>
        <td class="num">{millis(r.duration)}</td>
        <td class="wide muted">{r.sampled}</td>
      </tr>
      {open && (
        <tr class="request-detail">
          <td colSpan={7}>
            <Explained r={r} />
          </td>
        </tr>
      )}
    </>
  );
}

/** What happened to it, hop by hop, in words. */
function Explained({ r }: { r: Request }) {
  const flags = r.flags === '-' ? [] : r.flags.split(',').filter(Boolean);
  const upstream = r.upstream_duration;
  return (
    <div class="explained">
      {flags.map((f) => (
        <p key={f}>
          <b class="tone-bad">{f}</b>: {flagWords(f)}.
        </p>
      ))}
      <dl class="facts">
        <dt>Asked</dt>
        <dd>
          {r.method}{' '}
          <span class="break">
            {r.authority}
            {r.path}
          </span>{' '}
          over {r.protocol}, {bytes(r.request_bytes)}
        </dd>
        <dt>By</dt>
        <dd>
          {r.source.workload || 'unknown'} {r.source.namespace && `in ${r.source.namespace}`}{' '}
          <span class="muted break">{r.source.principal || r.source.address}</span>
        </dd>
        <dt>Route</dt>
        <dd class="break">
          {r.route || '–'} {r.rule && <RuleLink rule={r.rule} />}
        </dd>
        <dt>Cluster</dt>
        <dd class="break">{r.cluster || '–'}</dd>
        <dt>Answered by</dt>
        <dd>
          {r.destination.workload || '–'}{' '}
          <span class="muted break">
            {r.destination.address} {r.destination.principal}
          </span>
        </dd>
        <dt>Attempts</dt>
        <dd>{r.attempts}</dd>
        <dt>Encryption</dt>
        <dd>
          <Lock share={r.mtls ? 1 : 0} text={r.mtls ? 'mutual TLS' : 'plaintext'} />
        </dd>
        <dt>Time</dt>
        <dd>
          {millis(r.duration)}
          {upstream !== null && `, of these ${millis(upstream)} until the server began to answer`}
        </dd>
        <dt>Answer</dt>
        <dd>
          {r.status || 'none'}, {bytes(r.response_bytes)} <span class="muted">{r.details}</span>
        </dd>
        <dt>Told by</dt>
        <dd>
          {r.reporter === 'source' ? 'the client' : 'the server'}, {r.pod}
        </dd>
      </dl>
      {Object.keys(r.headers).length > 0 && (
        <details>
          <summary>Headers</summary>
          <dl class="facts mono">
            {Object.entries(r.headers).map(([name, value]) => (
              <>
                <dt>{name}</dt>
                <dd class="break">{value}</dd>
              </>
            ))}
          </dl>
        </details>
      )}
      <div class="actions">
        {r.trace_id && (
          <a class="button" href={link(['traces', r.trace_id])}>
            Trace
          </a>
        )}
        <a class="button" href={link(['requests'], { request_id: r.request_id })}>
          All hops
        </a>
        <CopyMenu
          items={[
            { name: 'Command: why', text: `tulle why ${r.request_id}` },
            { name: 'Request id', text: r.request_id },
            { name: 'JSON', text: JSON.stringify(r) },
          ]}
        />
      </div>
    </div>
  );
}

/** `VirtualService default/reviews#0` as a link. */
function RuleLink({ rule }: { rule: string }) {
  const found = /^(\S+) ([^/\s]+)\/([^#\s]+)(?:#(\d+))?$/.exec(rule);
  if (!found) return <span class="muted">{rule}</span>;
  return (
    <a href={link(['config', found[1]!, found[2]!, found[3]!])}>
      {found[1]} {found[2]}/{found[3]}
      {found[4] && ` rule ${found[4]}`}
    </a>
  );
}
