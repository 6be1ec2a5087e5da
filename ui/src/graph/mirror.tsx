// The graph for keyboard and screen reader: a button over each node on the screen, of which one is in the order of Tab; arrows go
// along calls and between neighbours.
import { useRef } from 'preact/hooks';
import { millis, percent, rate } from '../lib/format';
import type { Model, Node } from './model';
import { named } from './names';

export interface Spot {
  node: Node;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** More buttons than this help nobody; from so far the table is the way. */
const MOST = 200;

interface Props {
  model: Model;
  spots: Spot[];
  focused: string;
  onFocus: (id: string) => void;
  onSelect: (id: string) => void;
}

export function Mirror({ model, spots, focused, onFocus, onSelect }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const shown = [...spots].sort((a, b) => a.node.x - b.node.x || a.node.y - b.node.y).slice(0, MOST);
  const entry = shown.some((s) => s.node.id === focused) ? focused : shown[0]?.node.id;
  const key = (event: KeyboardEvent, node: Node) => {
    const to = neighbour(model, shown, node, event.key);
    if (!to) return;
    event.preventDefault();
    onFocus(to.id);
    requestAnimationFrame(() => host.current?.querySelector<HTMLElement>(`[data-id="${CSS.escape(to.id)}"]`)?.focus());
  };
  return (
    <div ref={host} class="mirror">
      {shown.map(({ node, x, y, width, height }) => (
        <button
          type="button"
          key={node.id}
          data-id={node.id}
          tabIndex={node.id === entry ? 0 : -1}
          aria-label={describe(node)}
          style={{
            left: `${x}px`,
            top: `${y}px`,
            width: `${Math.max(24, width)}px`,
            height: `${Math.max(24, height)}px`,
          }}
          onFocus={() => onFocus(node.id)}
          onBlur={() => onFocus('')}
          onKeyDown={(event) => key(event, node)}
          onClick={() => onSelect(node.id)}
        />
      ))}
    </div>
  );
}

export function describe(node: Node): string {
  const { title, tag } = named(node);
  const place = node.namespace ? ` in ${node.namespace}` : '';
  const figures =
    node.rate > 0 ? `, ${rate(node.rate)}, ${percent(node.errorRate)} failed, 95th percentile ${millis(node.p95)}` : '';
  const calls = `, called by ${node.in.length}, calls ${node.out.length}`;
  return `${node.kind} ${title}${tag ? ` ${tag}` : ''}${place}: ${node.health}${figures}${calls}`;
}

function neighbour(model: Model, spots: Spot[], node: Node, key: string): Node | undefined {
  const busiest = (nodes: [Node, number][]) => nodes.sort((a, b) => b[1] - a[1])[0]?.[0];
  switch (key) {
    case 'ArrowRight':
      return busiest(node.out.map((e) => [e.to, e.rate])) ?? aside(spots, node, 1, 0);
    case 'ArrowLeft':
      return busiest(node.in.map((e) => [e.from, e.rate])) ?? aside(spots, node, -1, 0);
    case 'ArrowDown':
      return aside(spots, node, 0, 1);
    case 'ArrowUp':
      return aside(spots, node, 0, -1);
    case 'Home':
      return spots[0]?.node;
    case 'End':
      return spots.at(-1)?.node;
    default:
      return model.nodes.get('\0');
  }
}

/** The nearest in that direction. */
function aside(spots: Spot[], node: Node, dx: number, dy: number): Node | undefined {
  let best: { node: Node; far: number } | undefined;
  for (const { node: other } of spots) {
    const along = (other.x - node.x) * dx + (other.y - node.y) * dy;
    if (along <= 1) continue;
    const across = Math.abs((other.x - node.x) * dy) + Math.abs((other.y - node.y) * dx);
    const far = along + 2 * across;
    if (!best || far < best.far) best = { node: other, far };
  }
  return best?.node;
}
