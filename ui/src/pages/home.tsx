// The health of the mesh on one screen: what is wrong first, then how much there is, then what changed.
import { Chart, chartSpan } from '../charts/chart';
import { type Change, type Moment, moments, momentWords, named } from '../lib/changes';
import { count, millis, moment, percent, rate, span } from '../lib/format';
import { timing } from '../lib/live';
import { link } from '../lib/router';
import type { Golden, Health, Reason } from '../lib/types';
import { useAsk } from '../lib/use';
import { Card, Figure, Title } from '../parts/bits';
import { Command, CopyMenu } from '../parts/copy';
import { type ServiceRow, ServiceTable } from '../parts/services';
import { Sign, type Status } from '../parts/sign';
import { Show } from '../parts/state';

interface Check {
  id: string;
  status: 'ok' | 'warn' | 'fail' | 'unknown';
  title: string;
  detail: string;
  fix: string | null;
  command: string | null;
  link: string | null;
}

interface Overview {
  time: number;
  window: number;
  mesh: { version: string; trustDomain: string; rootNamespace: string; uptime: number };
  checks: Check[];
  totals: Golden & { tcpConnections: number; entering: number; bytesSent: number; bytesReceived: number };
  health: Record<Health, number>;
  services: (ServiceRow & { reasons: Reason[] })[];
  servicesTotal: number;
  proxies: { connected: number; synced: number; stale: number; rejecting: number };
  encryption: { share: number | null; edges: number; plaintextEdges: number };
  certificates: { rootExpires: number | null; soonest: { workload: string; expires: number } | null } | null;
  configuration: { resources: number; errors: number; warnings: number; pending: number };
  changes: Change[];
}

export function HomePage() {
  const loaded = useAsk<Overview>(`overview?${timing()}`);
  return (
    <>
      <Title
        sub={
          loaded.data &&
          `Tulle ${loaded.data.mesh.version}, trust domain ${loaded.data.mesh.trustDomain}, up for ${span(loaded.data.mesh.uptime)}`
        }
        actions={
          <CopyMenu
            items={[
              { name: 'Command', text: 'tulle status' },
              { name: 'curl', text: `curl -s '${new URL(`./api/overview?${timing()}`, document.baseURI)}'` },
            ]}
          />
        }
      >
        Health of the mesh
      </Title>
      <Show of={loaded}>
        {(o) => (
          <>
            <Checks checks={o.checks} />
            <Totals o={o} />
            <Charts />
            <Card
              title="Services, worst first"
              wide
              aside={<a href={link(['services'])}>all {count(o.servicesTotal)}</a>}
            >
              {o.services.length > 0 ? (
                <ServiceTable rows={o.services} order="" most={12} />
              ) : (
                <p class="muted">There are no services yet. Apply a manifest: tulle apply -f FILE.</p>
              )}
            </Card>
            <Changes changes={o.changes} />
          </>
        )}
      </Show>
    </>
  );
}

function Checks({ checks }: { checks: Check[] }) {
  const bad = checks.filter((c) => c.status === 'fail' || c.status === 'warn');
  const rest = checks.filter((c) => !bad.includes(c));
  return (
    <section class="checks" aria-label="Checks">
      {bad.map((c) => (
        <div key={c.id} class={`check-row check-${c.status}`}>
          {/* The check is called what should be; what is instead comes first */}
          <Sign status={c.status as Status} label={c.detail || c.title} />
          {c.detail && <p class="muted">Should be: {c.title.charAt(0).toLowerCase() + c.title.slice(1)}</p>}
          {c.fix && <p>{c.fix}</p>}
          <p class="check-ways">
            {c.command && <Command text={c.command} />}
            {c.link && <a href={page(c.link)}>See where</a>}
          </p>
        </div>
      ))}
      <details class="check-row" open={false}>
        <summary>
          <Sign
            status={bad.length === 0 ? 'ok' : 'unknown'}
            label={
              bad.length === 0 ? `All ${checks.length} checks pass` : `${rest.length} of ${checks.length} checks pass`
            }
          />
        </summary>
        <ul>
          {rest.map((c) => (
            <li key={c.id}>
              <Sign status={c.status as Status} label={c.title} /> <span class="muted">{c.detail}</span>
            </li>
          ))}
        </ul>
      </details>
    </section>
  );
}

/** A page of ours for a path that the server names. */
function page(path: string): string {
  const to: Record<string, string> = {
    proxies: 'control',
    configuration: 'config',
    resources: 'config',
    certificates: 'security',
    encryption: 'security',
  };
  const parts = path.split('/').filter(Boolean);
  return link([to[parts[0] ?? ''] ?? parts[0] ?? 'home', ...parts.slice(1)]);
}

function Totals({ o }: { o: Overview }) {
  const { totals, proxies, encryption, certificates, configuration } = o;
  const off = proxies.connected - proxies.synced;
  const failing = o.health.failing + o.health.degraded;
  const root = certificates?.rootExpires;
  const soonest = certificates?.soonest;
  return (
    <div class="figures">
      <Figure
        name="Requests"
        value={rate(totals.rate)}
        note={`${rate(totals.entering)} from outside`}
        href={link(['graph'], { lens: 'traffic' })}
      />
      <Figure
        name="Failed"
        value={percent(totals.errorRate)}
        tone={tone(totals.errorRate)}
        note={`${rate(totals.errors)} failed`}
        href={link(['graph'])}
      />
      <Figure
        name="p95"
        value={millis(totals.p95)}
        note={`p50 ${millis(totals.p50)}, p99 ${millis(totals.p99)}`}
        href={link(['graph'], { lens: 'latency' })}
      />
      <Figure
        name="Services"
        value={count(o.servicesTotal)}
        tone={o.health.failing > 0 ? 'bad' : failing > 0 ? 'warn' : ''}
        note={
          failing > 0
            ? `${failing} not healthy`
            : o.health.idle > 0
              ? `${o.health.idle} idle, the rest healthy`
              : 'all healthy'
        }
        href={link(['services'])}
      />
      <Figure
        name="Encrypted"
        value={percent(encryption.share)}
        tone={encryption.plaintextEdges > 0 ? 'warn' : ''}
        note={
          encryption.plaintextEdges > 0
            ? `${encryption.plaintextEdges} of ${encryption.edges} calls in plaintext`
            : `all of ${encryption.edges} calls`
        }
        href={link(['security'])}
      />
      <Figure
        name="Proxies in sync"
        value={`${proxies.synced}/${proxies.connected}`}
        tone={proxies.rejecting > 0 ? 'bad' : off > 0 ? 'warn' : ''}
        note={
          proxies.rejecting > 0
            ? `${proxies.rejecting} refuse something`
            : off > 0
              ? `${off} wait for the latest`
              : 'all have the latest'
        }
        href={link(['control'])}
      />
      <Figure
        name="Configuration"
        value={count(configuration.resources)}
        tone={configuration.errors > 0 ? 'bad' : configuration.warnings > 0 ? 'warn' : ''}
        note={
          configuration.errors + configuration.warnings === 0
            ? 'resources, nothing wrong'
            : `${plural(configuration.errors, 'error')}, ${plural(configuration.warnings, 'warning')}`
        }
        href={link(['config'])}
      />
      <Figure
        name="Next certificate"
        value={soonest ? span(soonest.expires - o.time) : '–'}
        note={root ? `left; the root ${span(root - o.time)}` : 'left; root not known'}
        href={link(['security', 'certificates'])}
      />
    </div>
  );
}

function tone(share: number | null): string {
  return share == null ? '' : share >= 0.05 ? 'bad' : share >= 0.01 ? 'warn' : '';
}

function Charts() {
  const all = 'reporter="source"';
  const quantile = (q: number) =>
    `histogram_quantile(${q}, sum by (le) (rate(istio_request_duration_milliseconds_bucket{${all}}[1m])))`;
  return (
    <div class="grid">
      <Card title="Traffic">
        <Chart
          title="Requests between workloads"
          span={chartSpan()}
          format={rate}
          lines={[
            { name: 'all', query: `sum(rate(istio_requests_total{${all}}[1m]))`, tone: 'flow' },
            {
              name: 'failed',
              query: `sum(rate(istio_requests_total{${all},response_code=~"5..|0"}[1m])) or vector(0)`,
              tone: 'bad',
            },
          ]}
        />
      </Card>
      <Card title="Latency">
        <Chart
          title="Duration as callers see it"
          span={chartSpan()}
          format={millis}
          lines={[
            { name: 'p50', query: quantile(0.5), tone: 'slow0' },
            { name: 'p95', query: quantile(0.95), tone: 'slow2' },
            { name: 'p99', query: quantile(0.99), tone: 'slow3', dash: true },
          ]}
        />
      </Card>
    </div>
  );
}

function Changes({ changes }: { changes: Change[] }) {
  return (
    <Card title="What changed in the last hour" wide aside={<a href={link(['config'], { tab: 'history' })}>history</a>}>
      {changes.length === 0 ? (
        <p class="muted">Nothing was applied or deleted in the last hour.</p>
      ) : (
        <ol class="changes">
          {moments(changes)
            .slice(0, 12)
            .map((m) => (
              <Changed key={m.time} moment={m} />
            ))}
        </ol>
      )}
    </Card>
  );
}

function Changed({ moment: m }: { moment: Moment }) {
  const [first] = m.changes;
  const only = m.changes.length === 1 ? first : undefined;
  return (
    <li>
      <time dateTime={new Date(m.time * 1000).toISOString()}>{moment(m.time)}</time>
      {only ? (
        <a href={link(['config', ...only.resource.id.split('/')], { tab: 'history' })}>{named(only.resource)}</a>
      ) : (
        <a href={link(['config'], { tab: 'history' })}>{momentWords(m)}</a>
      )}
      <span class="muted">{only ? `${only.operation}, ${only.who || only.source}` : first?.operation}</span>
      <span class="break">{only?.summary}</span>
      <a href={link(['graph'], { vs: Math.floor(m.time) - 1 })}>graph before and after</a>
    </li>
  );
}

function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}
