// Security: what is encrypted and what is not and why, how long certificates last, what policies do, and who can call whom.
import { percent, rate, span } from '../lib/format';
import { timing } from '../lib/live';
import { link, option, place, set } from '../lib/router';
import type { Ref } from '../lib/types';
import { useAsk } from '../lib/use';
import { Card, Figure, Filter, Tabs, Title } from '../parts/bits';
import { CopyMenu } from '../parts/copy';
import { IdLink, RefLink } from '../parts/detail';
import { Lock, Sign, type Status } from '../parts/sign';
import { Note, Show } from '../parts/state';
import { Table } from '../parts/table';

interface Encryption {
  share: number | null;
  edges: {
    source: string;
    target: string;
    service: string;
    protocol: string;
    rate: number;
    mtls: number | null;
    state: 'encrypted' | 'mixed' | 'plaintext' | 'unknown';
    reason: string | null;
    resource: Ref | null;
    principals: { source: string | null; destination: string | null } | null;
  }[];
  workloads: { id: string; mode: string; resource: Ref | null; plaintextRate: number | null }[];
}

interface Certificates {
  /** Of the rotation of the root. */
  phase: string;
  signsUntil: number | null;
  roots: { role: string; subject: string; expires: number; fingerprint: string }[];
  workloads: {
    workload: string;
    pod: string;
    identity: string;
    serial: string;
    root: string;
    expires: number;
    state: 'fresh' | 'due' | 'expired' | 'revoked';
  }[];
}

interface Policies {
  policies: {
    resource: Ref;
    action: string;
    dryRun: boolean;
    workloads: string[];
    rules: { index: number; text: string; allowed: number | null; denied: number | null }[];
    allowed: number | null;
    denied: number | null;
    unused: boolean;
  }[];
  implicit: { workload: string; denied: number }[];
}

interface Access {
  workloads: string[];
  rows: {
    from: string;
    to: string;
    verdict: 'allowed' | 'denied' | 'partly';
    why: string;
    resource: Ref | null;
    conditions: string[];
    observed: number | null;
  }[];
}

const TABS = [
  { id: 'encryption', name: 'Encryption' },
  { id: 'certificates', name: 'Certificates' },
  { id: 'policies', name: 'Policies' },
  { id: 'access', name: 'Who can call whom' },
];
const COMMANDS: Record<string, string> = {
  encryption: 'tulle authn tls-check',
  certificates: 'tulle ca status',
  policies: 'tulle get authorizationpolicies -A',
  access: 'tulle authz check',
};

export function SecurityPage() {
  const tab = place.value.parts[1] ?? 'encryption';
  const known = TABS.some((t) => t.id === tab) ? tab : 'encryption';
  return (
    <>
      <Title
        sub="From what was counted and what is configured, side by side."
        actions={
          <CopyMenu
            items={[
              { name: 'Command', text: COMMANDS[known] ?? '' },
              {
                name: 'PromQL: plaintext',
                text: 'sum by (source_workload, destination_workload) (rate(istio_requests_total{reporter="destination",connection_security_policy!="mutual_tls"}[1m]))',
              },
            ]}
          />
        }
      >
        Security
      </Title>
      <Tabs current={known} tabs={TABS} href={(id) => link(['security', id])} />
      {known === 'encryption' && <EncryptionBoard />}
      {known === 'certificates' && <CertificateBoard />}
      {known === 'policies' && <PolicyBoard />}
      {known === 'access' && <AccessBoard />}
    </>
  );
}

function EncryptionBoard() {
  const loaded = useAsk<Encryption>(`security/encryption?${timing()}`);
  return (
    <Show of={loaded}>
      {(e) => {
        const plain = e.edges.filter((x) => x.state === 'plaintext' || x.state === 'mixed');
        return (
          <>
            <div class="figures">
              <Figure name="Requests with mutual TLS" value={percent(e.share)} tone={plain.length > 0 ? 'warn' : ''} />
              <Figure
                name="Calls in plaintext"
                value={plain.length}
                note={`of ${e.edges.length}`}
                tone={plain.length > 0 ? 'warn' : ''}
              />
              <Figure
                name="Workloads that insist on it"
                value={e.workloads.filter((w) => w.mode === 'STRICT').length}
                note={`of ${e.workloads.length} are STRICT`}
              />
            </div>
            <Card title="Calls" wide>
              {e.edges.length === 0 ? (
                <p class="muted">No calls were counted in this window.</p>
              ) : (
                <Table
                  caption="Encryption of calls"
                  rows={e.edges}
                  id={(x) => `${x.source}${x.target}${x.service}${x.protocol}`}
                  order="-state"
                  columns={[
                    { id: 'from', name: 'From', by: (x) => x.source, show: (x) => <IdLink id={x.source} /> },
                    { id: 'to', name: 'To', by: (x) => x.target, show: (x) => <IdLink id={x.target} /> },
                    {
                      id: 'state',
                      name: 'State',
                      by: (x) => ['encrypted', 'unknown', 'mixed', 'plaintext'].indexOf(x.state),
                      show: (x) => <Lock share={x.mtls} text={x.state} />,
                    },
                    { id: 'rate', name: 'Requests', number: true, by: (x) => x.rate, show: (x) => rate(x.rate) },
                    {
                      id: 'why',
                      name: 'Why',
                      show: (x) => (
                        <span>
                          {x.reason} {x.resource && <RefLink resource={x.resource} />}
                        </span>
                      ),
                    },
                    {
                      id: 'who',
                      name: 'Client identity',
                      wide: true,
                      show: (x) => <span class="muted break">{x.principals?.source ?? '–'}</span>,
                    },
                  ]}
                />
              )}
            </Card>
            <Card title="What workloads accept" wide>
              <Table
                caption="Modes of workloads"
                rows={e.workloads}
                id={(w) => w.id}
                order="mode"
                name="sortModes"
                columns={[
                  { id: 'id', name: 'Workload', by: (w) => w.id, show: (w) => <IdLink id={w.id} /> },
                  {
                    id: 'mode',
                    name: 'Mode',
                    by: (w) => w.mode,
                    show: (w) => (
                      <Sign
                        status={w.mode === 'STRICT' ? 'ok' : w.mode === 'DISABLE' ? 'fail' : 'warn'}
                        label={w.mode}
                      />
                    ),
                  },
                  { id: 'by', name: 'Because of', show: (w) => <RefLink resource={w.resource} /> },
                  {
                    id: 'plain',
                    name: 'Plaintext',
                    number: true,
                    by: (w) => w.plaintextRate,
                    show: (w) => rate(w.plaintextRate),
                  },
                ]}
              />
            </Card>
          </>
        );
      }}
    </Show>
  );
}

const FRESH: Record<string, Status> = { fresh: 'ok', due: 'warn', expired: 'fail', revoked: 'fail' };

function CertificateBoard() {
  const loaded = useAsk<Certificates>('security/certificates', 'proxies');
  const now = Date.now() / 1000;
  return (
    <Show of={loaded}>
      {(c) => (
        <>
          <div class="figures">
            <Figure
              name="Certificate authority"
              value={c.signsUntil === null ? '–' : span(c.signsUntil - now)}
              note="as long as it can sign"
            />
            <Figure name="Rotation" value={<span class="figure-small">{c.phase}</span>} />
            <Figure
              name="Certificates"
              value={c.workloads.length}
              note={`${c.workloads.filter((w) => w.state !== 'fresh').length} not fresh`}
            />
          </div>
          <Card title="Roots that are trusted">
            <Table
              caption="Roots"
              rows={c.roots}
              id={(r) => r.fingerprint}
              order="role"
              name="sortRoots"
              columns={[
                { id: 'role', name: 'Role', by: (r) => r.role, show: (r) => r.role },
                { id: 'subject', name: 'Subject', show: (r) => <span class="break">{r.subject}</span> },
                { id: 'expires', name: 'Left', number: true, by: (r) => r.expires, show: (r) => span(r.expires - now) },
                { id: 'print', name: 'Fingerprint', wide: true, show: (r) => <code>{r.fingerprint}</code> },
              ]}
            />
          </Card>
          <Card title="Workloads, the next to expire first" wide>
            {c.workloads.length === 0 ? (
              <p class="muted">No certificate has been issued since this control plane began.</p>
            ) : (
              <Table
                caption="Certificates of workloads"
                rows={c.workloads}
                id={(w) => w.serial}
                order="expires"
                columns={[
                  { id: 'workload', name: 'Workload', by: (w) => w.workload, show: (w) => <IdLink id={w.workload} /> },
                  {
                    id: 'state',
                    name: 'State',
                    by: (w) => w.state,
                    show: (w) => <Sign status={FRESH[w.state] ?? 'unknown'} label={w.state} />,
                  },
                  {
                    id: 'expires',
                    name: 'Left',
                    by: (w) => w.expires,
                    number: true,
                    show: (w) => span(w.expires - now),
                  },
                  { id: 'identity', name: 'Identity', show: (w) => <span class="break">{w.identity}</span> },
                  { id: 'pod', name: 'Pod', wide: true, by: (w) => w.pod, show: (w) => w.pod },
                ]}
              />
            )}
          </Card>
        </>
      )}
    </Show>
  );
}

function PolicyBoard() {
  const loaded = useAsk<Policies>(`security/policies?${timing()}`);
  return (
    <Show
      of={loaded}
      empty={({ policies, implicit }) =>
        policies.length === 0 && implicit.length === 0 ? (
          <Note title="There is no AuthorizationPolicy.">
            Every workload may call every other. A policy with an ALLOW rule makes everything else denied for the
            workloads it selects.
          </Note>
        ) : null
      }
    >
      {(p) => (
        <>
          <Card title="Policies" wide>
            <Table
              caption="Authorization policies"
              rows={p.policies}
              id={(x) => x.resource.id}
              order="-denied"
              columns={[
                {
                  id: 'name',
                  name: 'Policy',
                  by: (x) => x.resource.id,
                  show: (x) => <RefLink resource={x.resource} />,
                },
                {
                  id: 'action',
                  name: 'Action',
                  by: (x) => x.action,
                  show: (x) => `${x.action}${x.dryRun ? ' (dry run)' : ''}`,
                },
                {
                  id: 'on',
                  name: 'On',
                  wide: true,
                  show: (x) => (
                    <span class="muted">{x.workloads.map((w) => w.split('/').pop()).join(', ') || 'no workload'}</span>
                  ),
                },
                { id: 'allowed', name: 'Allowed', number: true, by: (x) => x.allowed, show: (x) => rate(x.allowed) },
                {
                  id: 'denied',
                  name: 'Denied',
                  number: true,
                  by: (x) => x.denied,
                  show: (x) => <span class={(x.denied ?? 0) > 0 ? 'tone-bad' : ''}>{rate(x.denied)}</span>,
                },
                {
                  id: 'rules',
                  name: 'Rules',
                  show: (x) =>
                    x.rules.map((r) => (
                      <div key={r.index}>
                        <span class="muted">{r.index}</span> {r.text}{' '}
                        <span class="muted">
                          {(r.allowed ?? 0) + (r.denied ?? 0) > 0 && `${rate((r.allowed ?? 0) + (r.denied ?? 0))}`}
                        </span>
                      </div>
                    )),
                },
                {
                  id: 'unused',
                  name: 'Used',
                  wide: true,
                  by: (x) => String(x.unused),
                  show: (x) => (x.unused ? <Sign status="warn" label="never matched" /> : 'yes'),
                },
              ]}
            />
          </Card>
          {p.implicit.length > 0 && (
            <Card title="Denied because no ALLOW rule matched">
              <Table
                caption="Implicit denials"
                rows={p.implicit}
                id={(i) => i.workload}
                order="-denied"
                name="sortImplicit"
                columns={[
                  { id: 'workload', name: 'Workload', by: (i) => i.workload, show: (i) => <IdLink id={i.workload} /> },
                  { id: 'denied', name: 'Denied', number: true, by: (i) => i.denied, show: (i) => rate(i.denied) },
                ]}
              />
            </Card>
          )}
        </>
      )}
    </Show>
  );
}

const VERDICT: Record<string, Status> = { allowed: 'ok', partly: 'warn', denied: 'fail' };

function AccessBoard() {
  const to = option('to');
  const loaded = useAsk<Access>(`security/access${to ? `?to=${encodeURIComponent(to)}` : ''}`, 'configuration');
  return (
    <>
      <div class="toolbar">
        <label class="field select">
          <span>To</span>
          <select value={to} onChange={(e) => set({ to: (e.target as HTMLSelectElement).value })}>
            <option value="">every workload</option>
            {loaded.data?.workloads.map((w) => (
              <option key={w} value={w}>
                {w}
              </option>
            ))}
          </select>
        </label>
        <Filter name="q" label="From" placeholder="From workload" />
      </div>
      <Show
        of={loaded}
        empty={({ rows }) =>
          rows.length === 0 ? <Note title="There are no workloads that could call each other." /> : null
        }
      >
        {({ rows }) => (
          <Table
            caption="Who can call whom"
            rows={rows.filter((r) => r.from.includes(option('q')))}
            id={(r) => `${r.from} ${r.to}`}
            order="to"
            columns={[
              { id: 'from', name: 'From', by: (r) => r.from, show: (r) => <IdLink id={r.from} /> },
              { id: 'to', name: 'To', by: (r) => r.to, show: (r) => <IdLink id={r.to} /> },
              {
                id: 'verdict',
                name: 'Verdict',
                by: (r) => r.verdict,
                show: (r) => <Sign status={VERDICT[r.verdict] ?? 'unknown'} label={r.verdict} />,
              },
              {
                id: 'why',
                name: 'Why',
                show: (r) => (
                  <span class="break">
                    {r.why} {r.conditions.length > 0 && <span class="muted">only {r.conditions.join(', ')}</span>}
                  </span>
                ),
              },
              {
                id: 'observed',
                name: 'Seen',
                number: true,
                by: (r) => r.observed,
                show: (r) => ((r.observed ?? 0) > 0 ? rate(r.observed) : '–'),
              },
            ]}
          />
        )}
      </Show>
    </>
  );
}
