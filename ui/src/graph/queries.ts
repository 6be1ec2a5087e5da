// Edges and nodes as PromQL, so that what is shown can be asked elsewhere.
import { selector } from '../lib/promql';
import type { Edge, Node } from './model';

export interface Queries {
  rate: string;
  errors: string;
  p50: string;
  p95: string;
  p99: string;
  codes: string;
}

const FAILED = '5..|0';

export function golden(labels: Record<string, string | undefined>, window = '1m'): Queries {
  const all = selector(labels);
  const failed = selector({ ...labels, response_code: `~${FAILED}` });
  const quantile = (q: number) =>
    `histogram_quantile(${q}, sum by (le) (rate(istio_request_duration_milliseconds_bucket${all}[${window}])))`;
  return {
    rate: `sum(rate(istio_requests_total${all}[${window}]))`,
    errors: `sum(rate(istio_requests_total${failed}[${window}])) or vector(0)`,
    p50: quantile(0.5),
    p95: quantile(0.95),
    p99: quantile(0.99),
    codes: `sum by (response_code) (rate(istio_requests_total${all}[${window}]))`,
  };
}

function end(side: 'source' | 'destination', node: Node): Record<string, string | undefined> {
  if (node.kind === 'workload')
    return { [`${side}_workload`]: node.name, [`${side}_workload_namespace`]: node.namespace };
  if (node.kind === 'unknown') return { [`${side}_workload`]: 'unknown' };
  return node.kind === 'external'
    ? { destination_service: node.name }
    : { destination_service_name: node.name, destination_service_namespace: node.namespace };
}

export function edgeLabels(edge: Edge): Record<string, string | undefined> {
  const reporter = edge.parts[0]?.reporter ?? 'source';
  return { reporter, ...end('source', edge.from), ...end('destination', edge.to) };
}

/** What comes to a node; of one that nobody calls, what it sends. */
export function nodeLabels(node: Node): Record<string, string | undefined> {
  if (node.in.length === 0 && node.out.length > 0) return { reporter: 'source', ...end('source', node) };
  const reporter =
    node.in.every((e) => e.parts.every((p) => p.reporter === 'source')) && node.kind !== 'workload'
      ? 'source'
      : 'destination';
  return { reporter, ...end('destination', node) };
}
