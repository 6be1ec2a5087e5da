import { expect, test } from 'vitest';
import { graph } from '../e2e/data';
import { changeLabel, changeWords, compare, kindOf, merged, summary } from '../src/graph/diff';
import { build } from '../src/graph/model';
import type { Graph, GraphEdge } from '../src/lib/types';

const whole = graph as Graph;
const first = whole.edges[0]!;
const id = `${first.source}→${first.target}`;
const calm: GraphEdge = { ...first, rate: 10, errors: 0, errorRate: 0, p95: 20 };

function between(before: Partial<GraphEdge>, after: Partial<GraphEdge>) {
  const of = (part: Partial<GraphEdge>) => build({ ...whole, edges: [{ ...calm, ...part }] });
  return compare(of(after), of(before)).get(id)!;
}

test('a caller that comes is exactly one new call, one that goes exactly one that is gone', () => {
  const without = { ...whole, edges: whole.edges.slice(1) };
  const came = compare(build(whole), build(without));
  expect([...came.values()].filter((c) => c.presence === 'new')).toHaveLength(1);
  expect(came.get(id)?.presence).toBe('new');
  const went = compare(build(without), build(whole));
  expect([...went.values()].filter((c) => c.presence !== 'same').map((c) => c.presence)).toEqual(['gone']);
  expect(summary(went, 'errors')).toMatch(/^1 gone, \d+ unchanged$/);
});

test('what is gone has a place, is at rest, and is told by what it was', () => {
  const gone = whole.nodes.find((n) => n.id === first.source)!;
  const now: Graph = {
    ...whole,
    layout: structuredClone(whole.layout!),
    nodes: whole.nodes.filter((n) => n !== gone),
    edges: whole.edges.filter((e) => e.source !== gone.id && e.target !== gone.id),
  };
  delete now.layout!.places[gone.id];
  const model = build(merged(now, whole));
  expect(model.nodes.get(gone.id)).toMatchObject({ health: 'idle', rate: 0 });
  expect(model.edges.get(id)).toMatchObject({ rate: 0, health: 'idle' });
});

test('each lens has its own measure of a change', () => {
  const failing = between({}, { errors: 2, errorRate: 0.2 });
  expect([kindOf(failing, 'errors'), changeLabel(failing, 'errors')]).toEqual(['worse', '+20 %']);
  expect(kindOf(failing, 'latency')).toBe('same');
  const slower = between({}, { p95: 80 });
  expect([kindOf(slower, 'latency'), changeLabel(slower, 'latency')]).toEqual(['worse', '+60 ms']);
  const quieter = between({}, { rate: 4 });
  expect([kindOf(quieter, 'traffic'), changeLabel(quieter, 'traffic')]).toEqual(['less', '−6/s']);
  expect(changeWords(quieter)).toBe('10/s → 4/s, 0 % → 0 % failed, p95 20 ms → 20 ms');
});

test('small differences are none', () => {
  expect(kindOf(between({ p95: 1 }, { p95: 2.5 }), 'latency')).toBe('same');
  expect(kindOf(between({}, { rate: 11 }), 'traffic')).toBe('same');
  expect(kindOf(between({}, { errors: 0.05 }), 'errors')).toBe('same');
});
