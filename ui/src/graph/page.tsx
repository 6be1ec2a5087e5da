// The graph: who calls whom, and how well.
import { useMemo } from 'preact/hooks';
import { ask } from '../lib/api';
import { clock } from '../lib/format';
import { timing } from '../lib/live';
import { link, option, set } from '../lib/router';
import type { Graph } from '../lib/types';
import { useAsk } from '../lib/use';
import { Title } from '../parts/bits';
import { CopyMenu } from '../parts/copy';
import { Note, Show } from '../parts/state';
import { Against, against } from './against';
import { AsTable } from './calls';
import { arrived, Canvas } from './canvas';
import { type Changes, compare, merged, summary } from './diff';
import { find, parse } from './find';
import type { Lens } from './lens';
import { build, type Model } from './model';
import type { Shown } from './paint';
import { Panel } from './panel';
import { Replay } from './replay';
import { Toolbar } from './toolbar';

async function read(path: string): Promise<Graph> {
  const graph = await ask<Graph>(path);
  arrived();
  return graph;
}

export function GraphPage() {
  const idle = option('idle') === '1';
  // What is gone has a place only if it is asked for with what is idle.
  const path = `graph?${timing()}&layout=1${idle || option('vs') ? '&idle=1' : ''}`;
  const loaded = useAsk<Graph>(path, 'traffic', read);
  const table = option('view') === 'table';
  const vs = loaded.data ? against(loaded.data.time) : null;
  const before = useAsk<Graph>(
    vs === null ? null : `graph?window=${option('window', '1m')}&time=${vs}`,
    'configuration',
  );
  const other = vs === null ? null : (before.data ?? null);
  return (
    <div class="graph-page">
      <Title
        sub="Who calls whom, and how well. An arrow is told by its client where there is one."
        actions={
          <CopyMenu
            items={[
              { name: 'Command', text: 'tulle top' },
              { name: 'curl', text: `curl -s '${new URL(`./api/${path}`, document.baseURI)}'` },
              {
                name: 'PromQL: all calls',
                text: 'sum by (source_workload, destination_workload, response_code) (rate(istio_requests_total{reporter="source"}[1m]))',
              },
            ]}
          />
        }
      >
        Graph
      </Title>
      <Toolbar table={table} />
      {vs !== null && before.problem && (
        <p class="stale" role="status">
          Nothing can be compared with {clock(vs)}: {before.problem.message}
        </p>
      )}
      <Show of={loaded} empty={(graph) => (empty(graph, idle, other) ? <Nothing /> : null)}>
        {(graph) => <Drawn graph={graph} before={other} idle={idle} table={table} />}
      </Show>
      <div class="graph-time">
        <Replay />
        <Against />
      </div>
    </div>
  );
}

function empty(graph: Graph, idle: boolean, before: Graph | null): boolean {
  return graph.edges.length === 0 && !(before && before.edges.length > 0) && !(idle && graph.nodes.length > 0);
}

function Nothing() {
  return (
    <Note
      title="No calls were counted in this window."
      action={
        <button type="button" class="button" onClick={() => set({ idle: 1 })}>
          Show what is idle
        </button>
      }
    >
      Proxies tell what they count every 5 s. Send a request through the mesh, or look at a longer window or another
      time. If there is traffic all the same, see <a href={link(['control'])}>whether every proxy is connected</a>.
    </Note>
  );
}

function shownOf(model: Model, changes: Changes | null): Shown {
  const ask = (text: string) => {
    if (!text) return null;
    try {
      return find(parse(text), model.nodes.values(), model.edges.values());
    } catch {
      return null;
    }
  };
  const hidden = ask(option('hide')) ?? { nodes: new Set<string>(), edges: new Set<string>() };
  const focus = option('focus');
  if (focus && model.nodes.has(focus)) {
    const near = around(model, focus, Number(option('hops', '1')) || 1);
    for (const id of model.nodes.keys()) if (!near.has(id)) hidden.nodes.add(id);
  }
  const found = ask(option('find'));
  // An edge that is found is read with its ends.
  if (found) {
    for (const id of found.edges) {
      const edge = model.edges.get(id);
      if (edge) found.nodes.add(edge.from.id).add(edge.to.id);
    }
  }
  return { lens: option('lens', 'errors') as Lens, found, hidden, selected: option('sel'), changes };
}

function around(model: Model, id: string, hops: number): Set<string> {
  let near = new Set([id]);
  for (let hop = 0; hop < Math.min(hops, 10); hop += 1) {
    const wider = new Set(near);
    for (const edge of model.edges.values()) {
      if (near.has(edge.from.id)) wider.add(edge.to.id);
      if (near.has(edge.to.id)) wider.add(edge.from.id);
    }
    near = wider;
  }
  return near;
}

/** Only what has calls. */
function busy(graph: Graph): Graph {
  const ends = new Set(graph.edges.flatMap((e) => [e.source, e.target]));
  return { ...graph, nodes: graph.nodes.filter((n) => ends.has(n.id)) };
}

interface DrawnProps {
  graph: Graph;
  before: Graph | null;
  idle: boolean;
  table: boolean;
}

function Drawn({ graph, before, idle, table }: DrawnProps) {
  const { model, changes } = useMemo(() => {
    const whole = before ? merged(graph, before) : graph;
    const model = build(idle ? whole : busy(whole));
    return { model, changes: before ? compare(build(graph), build(before)) : null };
  }, [graph, before, idle]);
  const shown = shownOf(model, changes);
  const selected = option('sel');
  const count = shown.found ? shown.found.nodes.size : null;
  return (
    <>
      {changes && before && (
        <p class="compared" role="status">
          Compared with {clock(before.time)}: {summary(changes, shown.lens)}.
        </p>
      )}
      <div class="graph-body">
        {table ? <AsTable model={model} shown={shown} /> : <Canvas model={model} shown={shown} />}
        {selected && <Panel model={model} selected={selected} changes={changes} onClose={() => set({ sel: '' })} />}
        <p class="hidden-text" role="status">
          {count !== null && `${count} nodes found`}
        </p>
      </div>
    </>
  );
}
