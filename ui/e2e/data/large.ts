// A graph of many services.
import { graph, T } from './shared';

export function large(count: number) {
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((seed / 2_147_483_648) * below);
  };
  const nodes = [];
  const places: Record<string, [number, number]> = {};
  const frames: Record<string, [number, number, number, number]> = {};
  const edges: Record<string, unknown>[] = [];
  for (let n = 0; n < count; n += 1) {
    const [room, at] = [Math.floor(n / 25), n % 25];
    const namespace = `team-${String(room).padStart(2, '0')}`;
    const [left, top] = [(room % 6) * 1600, Math.floor(room / 6) * 480];
    frames[namespace] ??= [left, top, 1484, 402];
    places[`${namespace}/s${n}`] = [left + 112 + Math.floor(at / 5) * 300, top + 68 + (at % 5) * 70];
    nodes.push({
      id: `${namespace}/s${n}`,
      kind: 'workload',
      name: `s${n}`,
      namespace,
      app: `s${n}`,
      version: '',
      inbound: 1,
      outbound: 1,
    });
    const call = (to: number) => {
      const errorRate = random(60) === 0 ? 0.2 : 0;
      edges.push({
        ...graph.edges[0],
        source: `${namespace}/s${n}`,
        target: `team-${String(Math.floor(to / 25)).padStart(2, '0')}/s${to}`,
        service: `service:x/s${to}`,
        rate: 1 + random(50),
        errorRate,
        errors: errorRate * 20,
        health: errorRate > 0 ? 'failing' : 'healthy',
        reasons: [],
        codes: { 200: 1 },
        flags: {},
      });
    };
    if (at > 0) call(room * 25 + random(at));
    if (n % 10 < 7) call(random(Math.floor(count / 25)) * 25);
  }
  return { time: T, window: 60, nodes, edges, layout: { version: 1, node: [176, 48], places, frames } };
}
