// The drawn graph, with its buttons for keyboard and screen reader above it.
import { useEffect, useRef, useState } from 'preact/hooks';
import { go, link, option, set } from '../lib/router';
import { calm, palette } from '../lib/theme';
import { Legend } from './legend';
import { Mirror, type Spot } from './mirror';
import type { Model } from './model';
import type { Shown } from './paint';
import { Renderer } from './renderer';

/** For tests: where things are, and what drawing them cost. */
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
let arrival = 0;

export function arrived(): void {
  arrival = performance.now();
}

export function Canvas({ model, shown }: { model: Model; shown: Shown }) {
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
        if (painted.current === 0 && arrival > 0) painted.current = performance.now() - arrival;
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
  }, [
    model,
    shown.lens,
    shown.changes,
    option('find'),
    option('hide'),
    option('focus'),
    option('hops'),
    shown.selected,
  ]);
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
      <Legend lens={shown.lens} compared={!!shown.changes} />
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
