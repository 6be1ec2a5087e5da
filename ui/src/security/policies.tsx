// What each policy and each of its rules let pass and refused.
import { Chart, type Line } from '../charts/chart';
import { rate } from '../lib/format';
import { timing } from '../lib/live';
import { link } from '../lib/router';
import type { Ref } from '../lib/types';
import { useAsk } from '../lib/use';
import { Card } from '../parts/bits';
import { IdLink, RefLink } from '../parts/detail';
import { Sign } from '../parts/sign';
import { Note, Show } from '../parts/state';
import { Table } from '../parts/table';

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

function decided(result: string, tone: string): Line {
  const query = `sum by (policy) (rate(tulle_authorization_total{result=~"${result}|dry_run_${result}"}[1m]))`;
  return { name: result, tone, query };
}

/** What was denied, with the way to the requests themselves where it is one workload's. */
function Denied({ value, workloads }: { value: number | null; workloads: string[] }) {
  if (!value) return <>{rate(value)}</>;
  const [only, ...others] = workloads;
  if (!only || others.length > 0) return <span class="tone-bad">{rate(value)}</span>;
  return (
    <a
      class="tone-bad"
      href={link(['requests'], { destination: only.split('/').pop(), errors: 'true', reporter: 'destination' })}
      title="The requests themselves"
    >
      {rate(value)}
    </a>
  );
}

export function PolicyBoard() {
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
                  show: (x) => <Denied value={x.denied} workloads={x.workloads} />,
                },
                {
                  id: 'rules',
                  name: 'Rules',
                  long: true,
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
          <Card title="Over time" wide>
            <div class="grid grid-two">
              <Chart title="Let pass, by policy" by="policy" format={rate} lines={[decided('allowed', 'flow')]} />
              <Chart title="Denied, by policy" by="policy" format={rate} lines={[decided('denied', 'bad')]} />
            </div>
            <p class="muted">
              “none” is what no ALLOW policy let pass. Policies in dry run count with what they would have done.
            </p>
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
                  {
                    id: 'denied',
                    name: 'Denied',
                    number: true,
                    by: (i) => i.denied,
                    show: (i) => <Denied value={i.denied} workloads={[i.workload]} />,
                  },
                ]}
              />
            </Card>
          )}
        </>
      )}
    </Show>
  );
}
