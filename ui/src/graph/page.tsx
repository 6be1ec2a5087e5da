// The graph: who calls whom, and how well.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { ask } from '../lib/api';
import { millis, percent, rate } from '../lib/format';
import { timing } from '../lib/live';
import { go, link, option, set } from '../lib/router';
import { calm, palette } from '../lib/theme';
import type { Graph } from '../lib/types';
import { useAsk } from '../lib/use';
import { Choice, Title } from '../parts/bits';
import { CopyMenu } from '../parts/copy';
import { Lock, Sign } from '../parts/sign';
import { Note, Show } from '../parts/state';
import { type Column, Table } from '../parts/table';
import { find, OPERANDS, parse } from './find';
import { Legend } from './legend';
import { LENSES, type Lens } from './lens';
import { Mirror, type Spot } from './mirror';
import { build, type Edge, type Model } from './model';
import { named, type Shown } from './paint';
import { Panel } from './panel';
import { Renderer } from './renderer';
import { Replay } from './replay';

interface Hook {
  positions: () => Record<string, [number, number]>;
  screen: (id: string) => [number, number] | null;
  visible: () => string[];
  cost: () => { paint: number; draws: number; fromData: number };
  zoom: (factor: number) => void;
}

declare global {
  interface Window {
    __mesh?: { graph: Hook };
  }
}

/** When the newest data came; how long until they are painted is measured from here. */
let arrived = 0;

async function read(path: string): Promise<Graph> {
  const graph = await ask<Graph>(path);
  arrived = performance.now();
  return graph;
}

export function GraphPage() {
  const loaded = useAsk<Graph>(`graph?${timing()}&layout=1`, 'traffic', read);
  const table = option('view') === 'table';
  return (
    <div class="graph-page">
      <Title
        sub="Who calls whom, and how well. An arrow is told by its client where there is one."
        actions={
          <CopyMenu
            items={[
              { name: 'curl', text: `curl -s '${new URL(`./api/graph?${timing()}`, document.baseURI)}'` },
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
      <Show of={loaded} empty={(graph) => (graph.edges.length === 0 ? <Nothing /> : null)}>
        {(graph) => <Drawn graph={graph} table={table} />}
      </Show>
      <Replay />
    </div>
  );
}

function Nothing() {
  return (
    <Note title="No calls were counted in this window.">
      Proxies tell what they count every 5 s. Send a request through the mesh, or look at a longer window or another
      time. If there is traffic all the same, see <a href={link(['control'])}>whether every proxy is connected</a>.
    </Note>
  );
}

function Toolbar({ table }: { table: boolean }) {
  const lens = option('lens', 'errors');
  return (
    <div class="toolbar">
      <Choice
        label="What colours tell"
        name="lens"
        value={lens}
        options={LENSES}
        onPick={(id) => set({ lens: id === 'errors' ? '' : id })}
      />
      <Question name="find" label="Find" />
      <Question name="hide" label="Hide" />
      <Choice
        label="Form"
        name="view"
        value={table ? 'table' : 'graph'}
        options={[
          { id: 'graph', name: 'Graph' },
          { id: 'table', name: 'Table' },
        ]}
        onPick={(id) => set({ view: id === 'table' ? 'table' : '' }, true)}
      />
      <label class="check" title="Dots along the calls, as many and as fast as there are calls">
        <input
          type="checkbox"
          checked={option('motion') === '1'}
          onChange={(e) => set({ motion: (e.target as HTMLInputElement).checked ? 1 : '' })}
        />
        Motion
      </label>
      {option('focus') && (
        <span class="chip">
          {option('hops', '1')} {option('hops', '1') === '1' ? 'step' : 'steps'} around{' '}
          {option('focus').split('/').pop()}
          {option('hops', '1') === '1' && (
            <button type="button" class="link" onClick={() => set({ hops: 2 })}>
              two steps
            </button>
          )}
          <button type="button" class="link" onClick={() => set({ focus: '', hops: '' })}>
            show all
          </button>
        </span>
      )}
    </div>
  );
}

const PRESETS: [string, string][] = [
  ['! healthy', 'what is not healthy'],
  ['%httperr > 1', 'more than 1 % of requests fail or are refused'],
  ['responsetime > 250', '95th percentile over 250 ms'],
  ['! mtls', 'not encrypted'],
  ['ns = default and version = v2', 'a namespace and a version'],
  ['(rank <= 2 or outside) and ! trafficsource', 'with parentheses'],
];

function Question({ name, label }: { name: 'find' | 'hide'; label: string }) {
  const text = option(name);
  let problem = '';
  if (text) {
    try {
      parse(text);
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error);
    }
  }
  const complete = (event: KeyboardEvent) => {
    const input = event.target as HTMLInputElement;
    if (event.key === 'Escape' && input.value) {
      set({ [name]: '' });
      return;
    }
    if (event.key !== 'Tab' || event.shiftKey) return;
    const word = /[\w%]+$/.exec(input.value.slice(0, input.selectionStart ?? 0))?.[0];
    const match = word && OPERANDS.find((o) => o.startsWith(word.toLowerCase()) && o !== word.toLowerCase());
    // Tab completes; where there is nothing to complete it goes on, as everywhere.
    if (!match) return;
    event.preventDefault();
    set({ [name]: input.value.slice(0, (input.selectionStart ?? 0) - word.length) + match });
  };
  return (
    <div class="question">
      <label>
        <span class="hidden-text">{label} in the graph</span>
        <input
          id={`graph-${name}`}
          type="search"
          list={`presets-${name}`}
          value={text}
          placeholder={`${label}…`}
          autocomplete="off"
          spellcheck={false}
          aria-invalid={problem !== ''}
          aria-describedby={problem ? `problem-${name}` : undefined}
          onInput={(e) => set({ [name]: (e.target as HTMLInputElement).value })}
          onKeyDown={complete}
        />
      </label>
      <datalist id={`presets-${name}`}>
        {PRESETS.map(([query, about]) => (
          <option key={query} value={query}>
            {about}
          </option>
        ))}
      </datalist>
      {problem && (
        <p id={`problem-${name}`} class="question-problem" role="alert">
          {problem}
        </p>
      )}
    </div>
  );
}

function shownOf(model: Model): Shown {
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
  return { lens: option('lens', 'errors') as Lens, found, hidden, selected: option('sel') };
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

function Drawn({ graph, table }: { graph: Graph; table: boolean }) {
  const model = useMemo(() => build(graph), [graph]);
  const shown = shownOf(model);
  const selected = option('sel');
  const count = shown.found ? shown.found.nodes.size : null;
  return (
    <div class="graph-body">
      {table ? <AsTable model={model} shown={shown} /> : <Canvas model={model} shown={shown} />}
      {selected && <Panel model={model} selected={selected} onClose={() => set({ sel: '' })} />}
      <p class="hidden-text" role="status">
        {count !== null && `${count} nodes found`}
      </p>
    </div>
  );
}

function Canvas({ model, shown }: { model: Model; shown: Shown }) {
  const host = useRef<HTMLDivElement>(null);
  const renderer = useRef<Renderer | undefined>(undefined);
  const [spots, put] = useState<Spot[]>([]);
  const [focused, focus] = useState('');
  const [far, setFar] = useState(false);
  const painted = useRef(0);
  const colours = palette.value;
  const select = (id: string) => set({ sel: id }, id !== '');

  // Made once
  useEffect(() => {
    if (!host.current) return;
    const made = new Renderer(host.current, {
      select,
      open: (id) => {
        const node = made.visible().find((v) => v.node.id === id)?.node;
        if (node && (node.kind === 'workload' || node.kind === 'service'))
          go(link([node.kind, node.namespace, node.name]));
      },
      settled: () => {
        if (painted.current === 0 && arrived > 0) painted.current = performance.now() - arrived;
        const all = made.visible();
        setFar(made.view.k < 0.3);
        put(made.view.k < 0.3 ? [] : all);
      },
    });
    renderer.current = made;
    hook(made, () => painted.current);
    return () => {
      made.close();
      renderer.current = undefined;
    };
  }, []);
  useEffect(() => {
    painted.current = 0;
    renderer.current?.show(model, shown);
  }, [model, shown.lens, option('find'), option('hide'), option('focus'), option('hops'), shown.selected]);
  useEffect(() => renderer.current?.recolour(), [colours]);
  useEffect(() => renderer.current?.animate(option('motion') === '1' && !calm.matches), [option('motion')]);
  // What is selected is brought into sight once
  useEffect(() => {
    if (shown.selected) renderer.current?.reveal(shown.selected);
  }, [shown.selected]);
  const keys = (event: KeyboardEvent) => {
    const act: Record<string, () => void> = {
      '+': () => renderer.current?.zoom(1.25),
      '=': () => renderer.current?.zoom(1.25),
      '-': () => renderer.current?.zoom(0.8),
      '0': () => renderer.current?.fit(),
    };
    const does = act[event.key];
    if (!does || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    does();
  };
  const label = `Graph of ${model.nodes.size} nodes and ${model.edges.size} calls. Arrow keys go along calls, Enter shows details, plus and minus zoom, 0 shows all.`;
  return (
    <div class="graph-area">
      {/* It is an application, with buttons inside */}
      <div class="graph-view" role="application" aria-label={label} onKeyDown={keys}>
        <div ref={host} class="graph-canvas" />
        <Mirror
          model={model}
          spots={spots}
          focused={focused}
          onFocus={(id) => {
            focus(id || focused);
            renderer.current?.setFocus(id);
            if (id) renderer.current?.reveal(id);
          }}
          onSelect={select}
        />
      </div>
      <div class="graph-zoom">
        <button type="button" class="icon" aria-label="Zoom in" onClick={() => renderer.current?.zoom(1.25)}>
          +
        </button>
        <button type="button" class="icon" aria-label="Zoom out" onClick={() => renderer.current?.zoom(0.8)}>
          −
        </button>
        <button type="button" class="icon" aria-label="Show all" onClick={() => renderer.current?.fit()}>
          ⤢
        </button>
      </div>
      <Legend lens={shown.lens} />
      {far && <p class="graph-hint">Zoom in, or click a namespace, to see its workloads.</p>}
    </div>
  );
}

function hook(made: Renderer, painted: () => number): void {
  window.__mesh = {
    graph: {
      positions: () => Object.fromEntries(made.visible().map((v) => [v.node.id, [v.node.x, v.node.y]])),
      screen: (id) => {
        const found = made.visible().find((v) => v.node.id === id);
        return found ? [found.x + found.width / 2, found.y + found.height / 2] : null;
      },
      visible: () => made.visible().map((v) => v.node.id),
      cost: () => ({ paint: made.cost, draws: made.draws, fromData: painted() }),
      zoom: (factor) => made.zoom(factor),
    },
  };
}

function AsTable({ model, shown }: { model: Model; shown: Shown }) {
  const rows = [...model.edges.values()].filter(
    (e) =>
      !shown.hidden.edges.has(e.id) &&
      !shown.hidden.nodes.has(e.from.id) &&
      !shown.hidden.nodes.has(e.to.id) &&
      (!shown.found ||
        shown.found.edges.has(e.id) ||
        (shown.found.nodes.has(e.from.id) && shown.found.nodes.has(e.to.id))),
  );
  const name = (n: Edge['from']) => `${named(n).title} ${named(n).tag}`.trim();
  const columns: Column<Edge>[] = [
    {
      id: 'from',
      name: 'From',
      by: (e) => name(e.from),
      show: (e) => (
        <button type="button" class="link" onClick={() => set({ sel: e.id })}>
          {name(e.from)}
        </button>
      ),
    },
    { id: 'to', name: 'To', by: (e) => name(e.to), show: (e) => name(e.to) },
    {
      id: 'health',
      name: 'Health',
      by: (e) => ['idle', 'healthy', 'degraded', 'failing'].indexOf(e.health),
      show: (e) => <Sign status={e.health} />,
    },
    { id: 'rate', name: 'Requests', number: true, by: (e) => e.rate, show: (e) => rate(e.rate) },
    { id: 'errors', name: 'Failed', number: true, by: (e) => e.errorRate, show: (e) => percent(e.errorRate) },
    { id: 'p50', name: 'p50', number: true, wide: true, by: (e) => e.p50, show: (e) => millis(e.p50) },
    { id: 'p95', name: 'p95', number: true, by: (e) => e.p95, show: (e) => millis(e.p95) },
    { id: 'p99', name: 'p99', number: true, wide: true, by: (e) => e.p99, show: (e) => millis(e.p99) },
    { id: 'mtls', name: 'Encryption', wide: true, by: (e) => e.mtls, show: (e) => <Lock share={e.mtls} /> },
    {
      id: 'protocol',
      name: 'Protocol',
      wide: true,
      by: (e) => e.protocols.join(),
      show: (e) => e.protocols.join(', '),
    },
  ];
  return (
    <Table
      caption="Calls between workloads"
      rows={rows}
      columns={columns}
      id={(e) => e.id}
      order="-errors"
      selected={shown.selected}
    />
  );
}
