import { expect, test } from 'vitest';
import { graph } from '../e2e/data';
import { at, curve, distance } from '../src/graph/geometry';
import { judge } from '../src/graph/health';
import { build } from '../src/graph/model';
import { golden } from '../src/graph/queries';

test('calls of one pair are one edge with all their figures', () => {
  const part = graph.edges[0];
  const twice = build({
    ...graph,
    edges: [part, { ...part, service: 'service:default/other', rate: part.rate * 3, errors: part.rate, mtls: 0 }],
  });
  expect(twice.edges.size).toBe(1);
  const [edge] = twice.edges.values();
  expect(edge!.rate).toBeCloseTo(part.rate * 4);
  expect(edge!.errorRate).toBeCloseTo(part.errors / (part.rate * 4) + 0.25);
  expect(edge!.mtls).toBeCloseTo(0.25);
});

test('a node that is called tells what comes to it; one that is not, what it sends', () => {
  const model = build(graph);
  const entry = model.nodes.get('istio-system/istio-ingressgateway')!;
  expect(entry.in).toHaveLength(0);
  expect(entry.rate).toBeCloseTo(entry.out.reduce((sum, e) => sum + e.rate, 0));
  expect(model.nodes.get('default/ratings-v1')!.health).toBe('failing');
  expect(model.bundles).toHaveLength(1);
});

test('health needs a share and a number of failures', () => {
  expect(judge({ rate: 10, errors: 1 }, 60).health).toBe('failing');
  expect(judge({ rate: 10, errors: 0.2 }, 60).health).toBe('degraded');
  expect(judge({ rate: 10, errors: 0.01 }, 60).health).toBe('healthy');
  // One failure of two is no outage.
  expect(judge({ rate: 2 / 60, errors: 1 / 60 }, 60).health).toBe('healthy');
  expect(judge({ rate: 0, errors: 0 }, 60).health).toBe('idle');
  expect(judge({ rate: 10, errors: 1 }, 60).reasons[0]!.text).toBe(
    '10 % of requests failed, from 5 % on it is failing',
  );
});

test('an edge is where it is drawn', () => {
  const line = curve({ x: 0, y: 0, width: 100, height: 40 }, { x: 400, y: 200, width: 100, height: 40 });
  expect([line.x1, line.y1, line.x2, line.y2]).toEqual([50, 0, 350, 200]);
  expect(distance(line, ...at(line, 0.3))).toBeLessThan(1);
  expect(distance(line, 200, 300)).toBeGreaterThan(50);
});

test('values of labels cannot break out of a question', () => {
  expect(golden({ source_workload: 'a"} or up{x="' }).rate).toContain('source_workload="a\\"} or up{x=\\""');
});
