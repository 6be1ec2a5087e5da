// Shapes of edges, and what is near a point.
import type { Model, Node } from './model';

export interface Curve {
  x1: number;
  y1: number;
  cx1: number;
  cy1: number;
  cx2: number;
  cy2: number;
  x2: number;
  y2: number;
}

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** From the right side of one box to the left side of the other; below and round where that would be backwards. */
export function curve(from: Box, to: Box): Curve {
  const [right, left] = [from.x + from.width / 2, to.x - to.width / 2];
  if (from === to || (from.x === to.x && from.y === to.y)) {
    const top = from.y - from.height / 2;
    return {
      x1: from.x - 18,
      y1: top,
      cx1: from.x - 34,
      cy1: top - 44,
      cx2: from.x + 34,
      cy2: top - 44,
      x2: from.x + 18,
      y2: top,
    };
  }
  if (left >= right + 8) {
    const pull = Math.max(28, (left - right) * 0.5);
    return { x1: right, y1: from.y, cx1: right + pull, cy1: from.y, cx2: left - pull, cy2: to.y, x2: left, y2: to.y };
  }
  // Backwards, or above each other: from below to below.
  const [b1, b2] = [from.y + from.height / 2, to.y + to.height / 2];
  const depth = 46 + Math.abs(from.x - to.x) * 0.12;
  const low = Math.max(b1, b2) + depth;
  return { x1: from.x, y1: b1, cx1: from.x, cy1: low, cx2: to.x, cy2: low, x2: to.x, y2: b2 };
}

export function at(c: Curve, t: number): [number, number] {
  const u = 1 - t;
  const [a, b, d, e] = [u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t];
  return [a * c.x1 + b * c.cx1 + d * c.cx2 + e * c.x2, a * c.y1 + b * c.cy1 + d * c.cy2 + e * c.y2];
}

export function distance(c: Curve, x: number, y: number): number {
  const slack = 30;
  if (x < Math.min(c.x1, c.x2, c.cx1, c.cx2) - slack || x > Math.max(c.x1, c.x2, c.cx1, c.cx2) + slack) return Infinity;
  if (y < Math.min(c.y1, c.y2, c.cy1, c.cy2) - slack || y > Math.max(c.y1, c.y2, c.cy1, c.cy2) + slack) return Infinity;
  let best = Infinity;
  let [px, py] = [c.x1, c.y1];
  for (let step = 1; step <= 16; step += 1) {
    const [qx, qy] = at(c, step / 16);
    const length = (qx - px) ** 2 + (qy - py) ** 2;
    const along = length > 0 ? Math.max(0, Math.min(1, ((x - px) * (qx - px) + (y - py) * (qy - py)) / length)) : 0;
    best = Math.min(best, Math.hypot(x - px - along * (qx - px), y - py - along * (qy - py)));
    [px, py] = [qx, qy];
  }
  return best;
}

/** What all of it covers; of an empty graph something to look at. */
export function bounds(model: Model): Box & { right: number; bottom: number } {
  let [x, y, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  const [w, h] = model.nodeSize;
  for (const n of model.nodes.values()) {
    x = Math.min(x, n.x - w / 2);
    y = Math.min(y, n.y - h / 2);
    right = Math.max(right, n.x + w / 2);
    bottom = Math.max(bottom, n.y + h / 2);
  }
  for (const f of model.frames) {
    x = Math.min(x, f.x);
    y = Math.min(y, f.y);
    right = Math.max(right, f.x + f.width);
    bottom = Math.max(bottom, f.y + f.height);
  }
  if (x > right) [x, y, right, bottom] = [0, 0, 100, 100];
  return { x, y, width: right - x, height: bottom - y, right, bottom };
}

/** Nodes by the square of the plane that they stand in. */
export class Grid {
  private readonly cells = new Map<string, Node[]>();
  private static readonly CELL = 300;

  constructor(nodes: Iterable<Node>) {
    for (const node of nodes) {
      const key = Grid.key(node.x, node.y);
      const cell = this.cells.get(key);
      if (cell) cell.push(node);
      else this.cells.set(key, [node]);
    }
  }

  private static key(x: number, y: number): string {
    return `${Math.floor(x / Grid.CELL)},${Math.floor(y / Grid.CELL)}`;
  }

  /** The node whose box of that size contains the point. */
  under(x: number, y: number, [w, h]: [number, number]): Node | undefined {
    for (const dx of [-Grid.CELL, 0, Grid.CELL]) {
      for (const dy of [-Grid.CELL, 0, Grid.CELL]) {
        const cell = this.cells.get(Grid.key(x + dx, y + dy));
        const found = cell?.find((n) => Math.abs(n.x - x) <= w / 2 && Math.abs(n.y - y) <= h / 2);
        if (found) return found;
      }
    }
    return undefined;
  }
}
