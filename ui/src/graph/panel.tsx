// What is known of the node or edge that is selected.
import type { ComponentChildren } from 'preact';
import { Chart } from '../charts/chart';
import { bytes, millis, percent, rate } from '../lib/format';
import { link, set } from '../lib/router';
import { flagWords } from '../lib/words';
import { CopyMenu } from '../parts/copy';
import { Reasons } from '../parts/detail-page';
import { Lock, Sign } from '../parts/sign';
import { badgeWords } from './badges';
import { type Change, type Changes, changeWords } from './diff';
import type { Edge, Model, Node } from './model';
import { named } from './names';
import { edgeLabels, golden, nodeLabels } from './queries';

interface Props {
  model: Model;
  selected: string;
  changes: Changes | null;
  onClose: () => void;
}

export function Panel({ model, selected, changes, onClose }: Props) {
  const node = model.nodes.get(selected);
  const edge = model.edges.get(selected);
  return (
    <aside class="panel" aria-label="Details of the selection">
      <button type="button" class="icon close" aria-label="Close details" onClick={onClose}>
        ×
      </button>
      {node && <OfNode node={node} />}
      {edge && <OfEdge edge={edge} change={changes?.get(edge.id) ?? null} />}
      {!node && !edge && <p class="note-text">There was no traffic of {selected} in this window.</p>}
    </aside>
  );
}

function OfNode({ node }: { node: Node }) {
  const queries = golden(nodeLabels(node));
  const { title, tag } = named(node);
  const detail = node.kind === 'workload' || node.kind === 'service' ? [node.kind, node.namespace, node.name] : null;
  return (
    <>
      <p class="kind">
        {node.kind}
        {node.namespace && ` in ${node.namespace}`}
      </p>
      <h2>
        {title} {tag && <span class="tag">{tag}</span>}
      </h2>
      <Health health={node.health} reasons={node.reasons} />
      <Golden rate={node.rate} errorRate={node.errorRate} p95={node.p95} />
      {node.badges.length > 0 && (
        <ul class="badges">
          {node.badges.map((b) => (
            <li key={b}>{badgeWords(b)}</li>
          ))}
        </ul>
      )}
      <div class="actions">
        {detail && (
          <a class="button primary" href={link(detail)}>
            Open {node.kind}
          </a>
        )}
        <a class="button" href={link(['graph'], { focus: node.id, hops: 1, sel: node.id })}>
          Only its surroundings
        </a>
        <CopyMenu
          items={[
            { name: 'PromQL: requests a second', text: queries.rate },
            { name: 'PromQL: 95th percentile', text: queries.p95 },
            ...(node.kind === 'workload'
              ? [
                  {
                    name: 'Command: what its proxy has in force',
                    text: `tulle proxy-config all -n ${node.namespace} ${node.name}`,
                  },
                ]
              : []),
            { name: 'curl', text: `curl -s '${new URL('./api/graph?window=1m', document.baseURI)}'` },
          ]}
        />
      </div>
      <Charts queries={queries} />
      <Peers title="Called by" edges={node.in} other={(e) => e.from} />
      <Peers title="Calls" edges={node.out} other={(e) => e.to} />
    </>
  );
}

function OfEdge({ edge, change }: { edge: Edge; change: Change | null }) {
  const queries = golden(edgeLabels(edge));
  const codes = merge(edge.parts.map((p) => p.codes));
  const flags = merge(edge.parts.map((p) => p.flags));
  const principals = edge.parts.find((p) => p.principals)?.principals;
  return (
    <>
      <p class="kind">{edge.protocols.join(', ')} calls</p>
      <h2>
        <Go node={edge.from} /> <span aria-hidden="true">→</span>
        <span class="hidden-text">to</span> <Go node={edge.to} />
      </h2>
      <Health health={edge.health} reasons={edge.reasons} />
      {change && <p class="compared">Compared: {changeWords(change)}</p>}
      <Golden rate={edge.rate} errorRate={edge.errorRate} p95={edge.p95} />
      <dl class="facts">
        <dt>p50 / p99</dt>
        <dd>
          {millis(edge.p50)} / {millis(edge.p99)}
        </dd>
        <dt>Encryption</dt>
        <dd>
          <Lock share={edge.mtls} text={edge.mtls === null ? 'not known' : `${percent(edge.mtls)} mutual TLS`} />
        </dd>
        {edge.bytes > 0 && (
          <>
            <dt>Bytes</dt>
            <dd>{bytes(edge.bytes)}/s</dd>
          </>
        )}
        <dt>By way of</dt>
        <dd>{[...new Set(edge.parts.map((p) => p.service.replace(/^service:|^external:/, '')))].join(', ')}</dd>
        <dt>Told by</dt>
        <dd>
          {[
            ...new Set(
              edge.parts.map((p) =>
                p.reporter === 'source' ? 'the client' : p.reporter === 'destination' ? 'the server' : p.reporter,
              ),
            ),
          ].join(', ')}
        </dd>
        {principals?.source && (
          <>
            <dt>Client is</dt>
            <dd class="break">{principals.source}</dd>
          </>
        )}
        {principals?.destination && (
          <>
            <dt>Server is</dt>
            <dd class="break">{principals.destination}</dd>
          </>
        )}
      </dl>
      {edge.badges.length > 0 && (
        <ul class="badges">
          {edge.badges.map((b) => (
            <li key={b}>{badgeWords(b)}</li>
          ))}
        </ul>
      )}
      <div class="actions">
        <a
          class="button primary"
          href={link(['requests'], {
            source: edge.from.name,
            destination: edge.to.kind === 'workload' ? edge.to.name : undefined,
          })}
        >
          Live requests
        </a>
        <CopyMenu
          items={[
            { name: 'PromQL: requests a second', text: queries.rate },
            { name: 'PromQL: failed a second', text: queries.errors },
            { name: 'PromQL: 95th percentile', text: queries.p95 },
            { name: 'PromQL: by response code', text: queries.codes },
          ]}
        />
      </div>
      <Charts queries={queries} />
      <Counts
        title="Response codes"
        counts={codes}
        total={edge.rate}
        words={(c) => (c === '0' ? 'no answer' : '')}
        bad={(c) => c === '0' || c.startsWith('5')}
      />
      {Object.keys(flags).length > 0 && (
        <Counts title="Response flags" counts={flags} total={edge.rate} words={flagWords} bad={() => true} />
      )}
    </>
  );
}

function Charts({ queries }: { queries: ReturnType<typeof golden> }) {
  return (
    <>
      <Chart
        title="Requests"
        height={96}
        format={(v) => rate(v)}
        lines={[
          { name: 'all', query: queries.rate, tone: 'flow' },
          { name: 'failed', query: queries.errors, tone: 'bad' },
        ]}
      />
      <Chart
        title="Duration"
        height={96}
        format={(v) => millis(v)}
        lines={[
          { name: 'p50', query: queries.p50, tone: 'slow0' },
          { name: 'p95', query: queries.p95, tone: 'slow2' },
          { name: 'p99', query: queries.p99, tone: 'slow3', dash: true },
        ]}
      />
    </>
  );
}

function merge(all: Record<string, number>[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const one of all) for (const [key, value] of Object.entries(one)) sum[key] = (sum[key] ?? 0) + value;
  return sum;
}

function Health({ health, reasons }: Pick<Node, 'health' | 'reasons'>) {
  return (
    <div class="why">
      <Sign status={health} />
      <Reasons reasons={reasons} />
    </div>
  );
}

function Golden({ rate: r, errorRate, p95 }: { rate: number; errorRate: number; p95: number | null }) {
  return (
    <dl class="golden">
      <div>
        <dt>Requests</dt>
        <dd>{rate(r)}</dd>
      </div>
      <div>
        <dt>Failed</dt>
        <dd>{percent(errorRate)}</dd>
      </div>
      <div>
        <dt>p95</dt>
        <dd>{millis(p95)}</dd>
      </div>
    </dl>
  );
}

function Go({ node }: { node: Node }) {
  const { title, tag } = named(node);
  return (
    <button type="button" class="link" onClick={() => set({ sel: node.id })}>
      {title}
      {tag && ` ${tag}`}
    </button>
  );
}

function Peers({ title, edges, other }: { title: string; edges: Edge[]; other: (e: Edge) => Node }) {
  if (edges.length === 0) return null;
  return (
    <section>
      <h3>{title}</h3>
      <table class="small">
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col" class="num">
              Rate
            </th>
            <th scope="col" class="num">
              Failed
            </th>
            <th scope="col" class="num">
              p95
            </th>
          </tr>
        </thead>
        <tbody>
          {[...edges]
            .sort((a, b) => b.errors - a.errors || b.rate - a.rate)
            .slice(0, 30)
            .map((e) => (
              <tr key={e.id}>
                <th scope="row">
                  <button type="button" class="link" onClick={() => set({ sel: e.id })}>
                    {named(other(e)).title} {named(other(e)).tag}
                  </button>
                </th>
                <Num>{rate(e.rate)}</Num>
                <Num>{percent(e.errorRate)}</Num>
                <Num>{millis(e.p95)}</Num>
              </tr>
            ))}
        </tbody>
      </table>
    </section>
  );
}

function Num({ children }: { children: ComponentChildren }) {
  return <td class="num">{children}</td>;
}

function Counts({
  title,
  counts,
  total,
  words,
  bad,
}: {
  title: string;
  counts: Record<string, number>;
  total: number;
  words: (code: string) => string;
  bad: (code: string) => boolean;
}) {
  return (
    <section>
      <h3>{title}</h3>
      <table class="small">
        <tbody>
          {Object.entries(counts)
            .sort((a, b) => b[1] - a[1])
            .map(([code, value]) => (
              <tr key={code}>
                <th scope="row" class={bad(code) ? 'tone-bad' : ''}>
                  {code} <span class="muted">{words(code)}</span>
                </th>
                <Num>{rate(value)}</Num>
                <Num>{percent(total > 0 ? value / total : 0)}</Num>
              </tr>
            ))}
        </tbody>
      </table>
    </section>
  );
}
