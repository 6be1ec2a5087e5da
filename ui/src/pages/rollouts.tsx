// Rollouts: stable against canary, with how sure one can be.
import { Chart, chartSpan } from '../charts/chart';
import { count, millis, percent, rate } from '../lib/format';
import { timing } from '../lib/live';
import { selector } from '../lib/promql';
import type { Ref } from '../lib/types';
import { useAsk } from '../lib/use';
import { Card, Share, Title } from '../parts/bits';
import { CopyMenu } from '../parts/copy';
import { RefLink } from '../parts/detail';
import { Sign, type Status } from '../parts/sign';
import { Note, Show } from '../parts/state';
import { Table } from '../parts/table';

interface Variant {
  name: string;
  role: 'stable' | 'canary' | string;
  destination: { host: string; subset: string | null };
  workloads: string[];
  weight: number;
  share: number | null;
  rate: number | null;
  requests?: number;
  samples?: number;
  errors: number;
  success: number | null;
  successLow: number | null;
  successHigh: number | null;
  p50: number | null;
  p95: number | null;
  p99: number | null;
}

interface Rollout {
  id: string;
  resource: Ref;
  rule: number;
  service: string;
  kind: string;
  match: string[];
  variants: Variant[];
  comparison: {
    verdict: string;
    text: string;
    successDifference: number | null;
    low: number | null;
    high: number | null;
    confidence: number;
  } | null;
}

const VERDICT: Record<string, Status> = {
  better: 'ok',
  worse: 'fail',
  'no difference seen': 'idle',
  'too few': 'unknown',
};

export function RolloutsPage() {
  const loaded = useAsk<{ rollouts: Rollout[] }>(`rollouts?${timing()}`);
  return (
    <>
      <Title
        sub="Versions that share traffic, compared over the window. A longer window is surer."
        actions={
          <CopyMenu
            items={[{ name: 'curl', text: `curl -s '${new URL(`./api/rollouts?${timing()}`, document.baseURI)}'` }]}
          />
        }
      >
        Rollouts
      </Title>
      <Show
        of={loaded}
        empty={({ rollouts }) =>
          rollouts.length === 0 ? (
            <Note title="No traffic is split, mirrored or matched.">
              A route with two destinations and weights, a mirror, or a match on a header or cookie (an A/B test) is
              shown here with both sides compared.
            </Note>
          ) : null
        }
      >
        {({ rollouts }) => rollouts.map((r) => <One key={r.id} r={r} />)}
      </Show>
    </>
  );
}

function One({ r }: { r: Rollout }) {
  const { comparison } = r;
  return (
    <Card
      title={`${r.service}${r.match.length > 0 ? ` when ${r.match.join(' or ')}` : ''}`}
      wide
      aside={<RefLink resource={r.resource} rule={r.rule} />}
    >
      {comparison && (
        <p>
          <Sign status={VERDICT[comparison.verdict] ?? 'unknown'} label={comparison.verdict} />{' '}
          <span class="muted">{comparison.text}</span>
        </p>
      )}
      <Intervals variants={r.variants} />
      <Table
        caption={`Variants of ${r.service}`}
        rows={r.variants}
        id={(v) => v.name}
        order=""
        name={`sort${r.id}`}
        columns={[
          {
            id: 'name',
            name: 'Variant',
            show: (v) => (
              <>
                {v.name} <span class="tag">{v.role}</span>
              </>
            ),
          },
          { id: 'weight', name: 'Wanted', number: true, show: (v) => `${v.weight} %` },
          {
            id: 'share',
            name: 'Got',
            show: (v) => (
              <Share value={v.share ?? 0} label={percent(v.share)} tone={v.role === 'canary' ? 'series2' : 'flow'} />
            ),
          },
          { id: 'requests', name: 'Requests', number: true, show: (v) => count(v.requests ?? v.samples) },
          { id: 'rate', name: 'Rate', number: true, wide: true, show: (v) => rate(v.rate) },
          { id: 'errors', name: 'Failed', number: true, show: (v) => count(v.errors) },
          { id: 'p50', name: 'p50', number: true, wide: true, show: (v) => millis(v.p50) },
          { id: 'p95', name: 'p95', number: true, show: (v) => millis(v.p95) },
          { id: 'p99', name: 'p99', number: true, wide: true, show: (v) => millis(v.p99) },
        ]}
      />
      <Curves variants={r.variants} />
    </Card>
  );
}

/** Success with its interval of 95 %, on one scale. */
function Intervals({ variants }: { variants: Variant[] }) {
  const known = variants.filter((v) => v.success !== null && v.successLow !== null && v.successHigh !== null);
  if (known.length === 0) return null;
  const low = Math.min(...known.map((v) => v.successLow!), 0.99);
  const at = (value: number) => `${(100 * (value - low)) / Math.max(1e-6, 1 - low)}%`;
  return (
    <div class="intervals">
      {known.map((v) => (
        <div key={v.name} class="interval">
          <span>{v.name}</span>
          <span class="interval-lane" aria-hidden="true">
            <i
              class={v.role === 'canary' ? 'fill-series2' : 'fill-flow'}
              style={{ left: at(v.successLow!), right: `calc(100% - ${at(v.successHigh!)})` }}
            />
            <b style={{ left: at(v.success!) }} />
          </span>
          <span class="num">
            {percent(v.success)}{' '}
            <span class="muted">
              ({percent(v.successLow)} to {percent(v.successHigh)})
            </span>
          </span>
        </div>
      ))}
      <p class="muted">
        Share of requests that succeeded, with the interval that holds it with 95 % confidence; scale from{' '}
        {percent(low)} to 100 %.
      </p>
    </div>
  );
}

function Curves({ variants }: { variants: Variant[] }) {
  const tones = ['flow', 'series2', 'series3', 'series4'];
  const of = (v: Variant) => {
    const [namespace, name] = (v.workloads[0] ?? '/').split('/');
    return { reporter: 'destination', destination_workload: name, destination_workload_namespace: namespace };
  };
  const lines = (query: (labels: string, failed: string) => string) =>
    variants
      .filter((v) => v.workloads.length > 0)
      .slice(0, 4)
      .map((v, n) => ({
        name: v.name,
        tone: tones[n]!,
        query: query(selector(of(v)), selector({ ...of(v), response_code: '~5..|0' })),
      }));
  return (
    <div class="grid">
      <Chart
        title="Failed"
        span={chartSpan()}
        format={percent}
        lines={lines(
          (all, failed) =>
            `(sum(rate(istio_requests_total${failed}[1m])) or vector(0)) / sum(rate(istio_requests_total${all}[1m]))`,
        )}
      />
      <Chart
        title="p95"
        span={chartSpan()}
        format={millis}
        lines={lines(
          (all) => `histogram_quantile(0.95, sum by (le) (rate(istio_request_duration_milliseconds_bucket${all}[1m])))`,
        )}
      />
    </div>
  );
}
