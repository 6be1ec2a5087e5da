// Draws a part of the graph on a canvas.
import { millis, percent, rate } from '../lib/format';
import { colour } from '../lib/theme';
import { badgeShort } from './badges';
import { type Changes, changeLook } from './diff';
import { at, type Curve, curve } from './geometry';
import { bundleLook, edgeLook, healthTone, type Lens, type Look, type Tone } from './lens';
import type { Edge, Frame, Model, Node } from './model';
import { named } from './names';
import { drawLock, drawSign } from './shapes';

export interface View {
  /** The point of the plane in the upper left corner, and pixels for each of its units. */
  x: number;
  y: number;
  k: number;
}

export interface Shown {
  lens: Lens;
  /** What is looked for; everything else steps back. */
  found: { nodes: Set<string>; edges: Set<string> } | null;
  hidden: { nodes: Set<string>; edges: Set<string> };
  selected: string;
  /** What is compared with another time instead of being told. */
  changes?: Changes | null;
}

/** How an edge looks: as the lens tells it, or as it changed. */
export function lookOf(edge: Edge, shown: Shown, most: number): Look {
  const change = shown.changes?.get(edge.id);
  return change ? changeLook(change, shown.lens) : edgeLook(edge, shown.lens, most);
}

/** Below this a namespace is one thing, below the other a node is only its name. */
export const FAR = 0.3;
export const NEAR = 0.62;
/** From here on calls have labels. */
const LABELLED = 0.45;

const FONT =
  'ui-sans-serif, system-ui, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", sans-serif';
const NAMES = [
  'surface',
  'raised',
  'bg',
  'line',
  'line-strong',
  'text',
  'muted',
  'accent',
  'focus',
  'good',
  'warn',
  'bad',
  'idle',
  'flow',
  'tcp',
  'slow0',
  'slow1',
  'slow2',
  'slow3',
  'tint-warn',
  'tint-bad',
  'frame',
  'frame-line',
] as const;
export type Colours = Record<(typeof NAMES)[number], string>;

export function readColours(): Colours {
  return Object.fromEntries(NAMES.map((name) => [name, colour(name)])) as Colours;
}

export function curves(model: Model): Map<string, Curve> {
  const [width, height] = model.nodeSize;
  const box = (n: Node) => ({ x: n.x, y: n.y, width, height });
  return new Map([...model.edges.values()].map((e) => [e.id, curve(box(e.from), box(e.to))]));
}

export class Painter {
  private readonly labels: { x: number; y: number; w: number; h: number }[] = [];
  private readonly most: number;

  constructor(
    private readonly ctx: CanvasRenderingContext2D,
    private readonly view: View,
    private readonly size: { width: number; height: number },
    private readonly c: Colours,
    private readonly model: Model,
    private readonly shown: Shown,
    private readonly lines: Map<string, Curve>,
  ) {
    this.most = Math.max(0, ...[...model.edges.values()].map((e) => e.rate));
  }

  all(): void {
    const { model, view } = this;
    for (const frame of model.frames) this.frame(frame);
    if (view.k < FAR && model.frames.length > 1) this.bundles();
    for (const edge of model.edges.values()) if (!this.isHidden(edge)) this.edge(edge);
    for (const node of model.nodes.values()) if (!this.shown.hidden.nodes.has(node.id)) this.node(node);
    if (view.k >= LABELLED) for (const edge of model.edges.values()) if (!this.isHidden(edge)) this.edgeLabel(edge);
    if (view.k < FAR) for (const frame of model.frames) this.title(frame);
    this.ctx.globalAlpha = 1;
  }

  private isHidden(edge: Edge): boolean {
    const { hidden } = this.shown;
    return hidden.edges.has(edge.id) || hidden.nodes.has(edge.from.id) || hidden.nodes.has(edge.to.id);
  }

  private sx(x: number): number {
    return (x - this.view.x) * this.view.k;
  }

  private sy(y: number): number {
    return (y - this.view.y) * this.view.k;
  }

  private outside(x: number, y: number, w: number, h: number): boolean {
    return x > this.size.width || y > this.size.height || x + w < 0 || y + h < 0;
  }

  private frame(frame: Frame): void {
    const { ctx, c, view } = this;
    const [x, y, w, h] = [this.sx(frame.x), this.sy(frame.y), frame.width * view.k, frame.height * view.k];
    if (this.outside(x, y, w, h)) return;
    const far = view.k < FAR;
    ctx.beginPath();
    ctx.roundRect(x, y, w, h, far ? 6 : 12);
    ctx.fillStyle = c.frame;
    ctx.fill();
    ctx.lineWidth = far && frame.health === 'failing' ? 2 : 1;
    ctx.strokeStyle =
      far && (frame.health === 'failing' || frame.health === 'degraded')
        ? c[healthTone(frame.health)]
        : c['frame-line'];
    ctx.stroke();
    if (far) return;
    ctx.fillStyle = c.muted;
    ctx.font = `600 ${Math.max(10, 12 * Math.min(1, view.k))}px ${FONT}`;
    ctx.textBaseline = 'middle';
    this.clipped(frame.name, x + 14, y + 20 * view.k, w - 28);
  }

  /** What a namespace is called, across it, as large as can be read from far. */
  private title(frame: Frame): void {
    const { ctx, c, view } = this;
    const [x, y, w, h] = [this.sx(frame.x), this.sy(frame.y), frame.width * view.k, frame.height * view.k];
    if (this.outside(x, y, w, h) || w < 36) return;
    const size = Math.max(11, Math.min(16, w / 9));
    ctx.globalAlpha = 1;
    ctx.font = `600 ${size}px ${FONT}`;
    const name = this.fit(frame.name, w - 10);
    const line = frame.rate > 0 ? `${rate(frame.rate)} · ${frame.nodes.length}` : `${frame.nodes.length}`;
    const wide = Math.min(w, Math.max(ctx.measureText(name).width, 40) + 14);
    const two = h > size * 2.6;
    const tall = two ? size * 2.5 : size * 1.5;
    ctx.fillStyle = c.surface;
    ctx.globalAlpha = 0.86;
    ctx.beginPath();
    ctx.roundRect(x + (w - wide) / 2, y + (h - tall) / 2, wide, tall, 4);
    ctx.fill();
    ctx.globalAlpha = 1;
    ctx.textAlign = 'center';
    ctx.textBaseline = 'middle';
    ctx.fillStyle = c.text;
    ctx.fillText(name, x + w / 2, y + h / 2 - (two ? size * 0.5 : 0));
    if (two) {
      ctx.font = `${size * 0.8}px ${FONT}`;
      ctx.fillStyle = c.muted;
      ctx.fillText(line, x + w / 2, y + h / 2 + size * 0.7);
    }
    ctx.textAlign = 'left';
  }

  private bundles(): void {
    const most = Math.max(0, ...this.model.bundles.map((b) => b.rate));
    const box = (f: Frame) => ({ x: f.x + f.width / 2, y: f.y + f.height / 2, width: f.width, height: f.height });
    this.ctx.globalAlpha = 0.75;
    for (const bundle of this.model.bundles) {
      const line = curve(box(bundle.from), box(bundle.to));
      this.stroke(line, bundleLook(bundle, this.shown.lens, most));
    }
    this.ctx.globalAlpha = 1;
  }

  private edge(edge: Edge): void {
    const { view, model } = this;
    const far = view.k < FAR && model.frames.length > 1;
    // From far, lines between namespaces are drawn as bundles.
    if (far && edge.from.namespace !== edge.to.namespace) return;
    const line = this.lines.get(edge.id);
    if (!line) return;
    this.ctx.globalAlpha = this.stepsBack(edge) ? 0.12 : far ? 0.6 : 1;
    const look = lookOf(edge, this.shown, this.most);
    this.stroke(line, { ...look, width: look.width + (edge.id === this.shown.selected ? 1.6 : 0) });
  }

  private stepsBack(edge: Edge): boolean {
    const { found } = this.shown;
    if (!found) return false;
    return !found.edges.has(edge.id) && !(found.nodes.has(edge.from.id) && found.nodes.has(edge.to.id));
  }

  private stroke(line: Curve, look: Look): void {
    const { ctx, view } = this;
    const [x1, y1, x2, y2] = [this.sx(line.x1), this.sy(line.y1), this.sx(line.x2), this.sy(line.y2)];
    const reach = 60 * view.k + 20;
    const [left, top] = [Math.min(x1, x2) - reach, Math.min(y1, y2) - reach];
    if (this.outside(left, top, Math.abs(x1 - x2) + 2 * reach, Math.abs(y1 - y2) + 2 * reach)) return;
    const thick = Math.max(0.8, look.width * Math.min(1, Math.max(0.55, view.k)));
    ctx.strokeStyle = this.c[look.tone];
    ctx.lineWidth = thick;
    ctx.setLineDash(look.dashed ? [5, 5] : look.tone === 'bad' ? [9, 3] : []);
    ctx.beginPath();
    ctx.moveTo(x1, y1);
    ctx.bezierCurveTo(this.sx(line.cx1), this.sy(line.cy1), this.sx(line.cx2), this.sy(line.cy2), x2, y2);
    ctx.stroke();
    ctx.setLineDash([]);
    if (view.k < 0.4) return;
    const angle = Math.atan2(y2 - this.sy(line.cy2), x2 - this.sx(line.cx2));
    const head = 4.5 + thick;
    ctx.fillStyle = this.c[look.tone];
    ctx.beginPath();
    ctx.moveTo(x2, y2);
    ctx.lineTo(x2 - head * 1.5 * Math.cos(angle - 0.42), y2 - head * 1.5 * Math.sin(angle - 0.42));
    ctx.lineTo(x2 - head * 1.5 * Math.cos(angle + 0.42), y2 - head * 1.5 * Math.sin(angle + 0.42));
    ctx.fill();
  }

  /** What the lens says, and a lock, closed or open, where it is known. */
  private edgeLabel(edge: Edge): void {
    const { ctx, c } = this;
    const line = this.lines.get(edge.id);
    if (!line) return;
    const look = lookOf(edge, this.shown, this.most);
    const lock = edge.mtls !== null && !this.shown.changes;
    if (look.label === '' && !lock) return;
    const [px, py] = at(line, 0.5);
    const [x, y] = [this.sx(px), this.sy(py)];
    ctx.font = `600 11px ${FONT}`;
    const around = (lock ? 11 : 0) + (lock && look.label !== '' ? 5 : 0) + 12;
    // On a short line the figure alone, so that it covers neither end.
    const label = this.longest(
      [look.label, look.label.replace(/( %) .*/, '$1')],
      Math.abs(this.sx(line.x2) - this.sx(line.x1)) - around,
    );
    const text = label === '' ? 0 : ctx.measureText(label).width;
    const w = text + around;
    const box = { x: x - w / 2, y: y - 9, w, h: 18 };
    if (this.outside(box.x, box.y, w, 18)) return;
    if (this.labels.some((o) => o.x < box.x + w && box.x < o.x + o.w && o.y < box.y + 18 && box.y < o.y + o.h)) return;
    this.labels.push(box);
    ctx.globalAlpha = this.stepsBack(edge) ? 0.15 : 1;
    ctx.beginPath();
    ctx.roundRect(box.x, box.y, w, 18, 9);
    ctx.fillStyle = c.surface;
    ctx.fill();
    ctx.lineWidth = 1;
    ctx.strokeStyle = look.tone === 'bad' || look.tone === 'warn' ? c[look.tone] : c.line;
    ctx.stroke();
    if (lock) drawLock(ctx, c, box.x + 6, y, edge.mtls!);
    if (text > 0) {
      ctx.fillStyle = look.tone === 'bad' || look.tone === 'warn' ? c[look.tone] : c.text;
      ctx.textBaseline = 'middle';
      ctx.fillText(label, box.x + 6 + (lock ? 16 : 0), y + 0.5);
    }
  }

  private node(node: Node): void {
    const { ctx, c, view } = this;
    const [w, h] = [this.model.nodeSize[0] * view.k, this.model.nodeSize[1] * view.k];
    const [x, y] = [this.sx(node.x) - w / 2, this.sy(node.y) - h / 2];
    if (this.outside(x - 20, y - 20, w + 40, h + 40)) return;
    const { found } = this.shown;
    ctx.globalAlpha = found && !found.nodes.has(node.id) ? 0.22 : 1;
    const tone = healthTone(node.health);
    const alarmed = tone === 'bad' || tone === 'warn';
    ctx.beginPath();
    ctx.roundRect(x, y, w, h, Math.max(2, 8 * Math.min(1, view.k)));
    if (view.k < FAR) {
      ctx.fillStyle = alarmed ? c[tone] : c['line-strong'];
      ctx.fill();
      return;
    }
    ctx.fillStyle = tone === 'bad' ? c['tint-bad'] : tone === 'warn' ? c['tint-warn'] : c.surface;
    ctx.fill();
    const selected = node.id === this.shown.selected;
    ctx.lineWidth = selected ? 2 : 1;
    ctx.strokeStyle = selected ? c.accent : alarmed ? c[tone] : c['line-strong'];
    if (node.kind === 'external' || node.kind === 'unknown') ctx.setLineDash([4, 3]);
    ctx.stroke();
    ctx.setLineDash([]);
    this.inside(node, x, y, w, h, tone);
  }

  private inside(node: Node, x: number, y: number, w: number, h: number, tone: Tone): void {
    const { ctx, c, view } = this;
    const size = Math.max(10.5, 13 * Math.min(1.15, view.k));
    const near = view.k >= NEAR;
    const { title, tag } = named(node);
    const left = x + (near ? 30 * Math.min(1.15, view.k) : 8);
    let room = w - (left - x) - 8;
    ctx.textBaseline = 'middle';
    if (near) {
      drawSign(ctx, c, x + 16 * view.k, y + h / 2, tone);
      ctx.font = `600 ${size}px ${FONT}`;
      const whole = ctx.measureText(title).width;
      ctx.font = `${size * 0.82}px ${FONT}`;
      const wide = tag ? ctx.measureText(tag).width + 8 : 0;
      // Rather the whole name than half of it and the version.
      if (tag && (whole <= room - wide || whole > room)) {
        ctx.fillStyle = c.muted;
        ctx.fillText(tag, x + w - wide - 1, y + h * 0.33);
        room -= wide;
      }
    }
    ctx.font = `600 ${size}px ${FONT}`;
    ctx.fillStyle = c.text;
    const names = near || !tag ? [title] : [`${title} ${tag}`, title];
    this.clipped(this.longest(names, room), left, near ? y + h * 0.33 : y + h / 2, room);
    if (!near) return;
    ctx.font = `${size * 0.85}px ${FONT}`;
    ctx.fillStyle = tone === 'bad' ? c.bad : tone === 'warn' ? c.warn : c.muted;
    const words =
      node.rate > 0
        ? [rate(node.rate), percent(node.errorRate), ...(node.p95 === null ? [] : [millis(node.p95)])]
        : ['idle'];
    const space = w - (left - x) - 6;
    const lines = words.map((_, n) => words.slice(0, words.length - n).join('  ·  '));
    this.clipped(this.longest(lines, space), left, y + h * 0.7, space);
    this.badges(node, x, y, w);
  }

  private badges(node: Node, x: number, y: number, w: number): void {
    const { ctx, c } = this;
    let right = x + w - 6;
    ctx.font = `700 9px ${FONT}`;
    for (const badge of node.badges.slice(0, 5)) {
      const text = badgeShort(badge);
      const wide = ctx.measureText(text).width + 8;
      ctx.beginPath();
      ctx.roundRect(right - wide, y - 8, wide, 15, 4);
      ctx.fillStyle = c.raised;
      ctx.fill();
      ctx.strokeStyle = c['line-strong'];
      ctx.lineWidth = 1;
      ctx.stroke();
      ctx.fillStyle = badge === 'fault' || badge === 'missing-sidecar' ? c.warn : c.text;
      ctx.fillText(text, right - wide + 4, y);
      right -= wide + 3;
    }
  }

  /** The first of these that has room, else the last. */
  private longest(texts: string[], room: number): string {
    return texts.find((text) => this.ctx.measureText(text).width <= room) ?? texts.at(-1) ?? '';
  }

  private fit(text: string, room: number): string {
    const { ctx } = this;
    if (ctx.measureText(text).width <= room) return text;
    let [low, high] = [0, text.length];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (ctx.measureText(`${text.slice(0, middle)}…`).width <= room) low = middle;
      else high = middle - 1;
    }
    return low > 0 ? `${text.slice(0, low)}…` : '';
  }

  private clipped(text: string, x: number, y: number, room: number): void {
    if (room > 12) this.ctx.fillText(this.fit(text, room), x, y);
  }
}
