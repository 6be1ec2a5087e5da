// The graph on two canvases: what stands still is drawn once, larger than what is seen, and moved as a picture while one pans and
// zooms; when that has settled it is drawn anew. What is under the pointer, the focus and moving dots are on a canvas above.
import { bounds, type Curve, distance, Grid, at as pointAt } from './geometry';
import type { Edge, Model, Node } from './model';
import { type Colours, curves, FAR, lookOf, NEAR, Painter, readColours, type Shown, type View } from './paint';

export interface Events {
  select: (id: string) => void;
  open: (id: string) => void;
  /** The view has settled: what is on the screen may be another. */
  settled: () => void;
}

const SETTLE = 90;
/** How much more than the screen is drawn, on each side. */
const MARGIN = 0.3;
const CLOSEST = 2.2;
/** A screen of this width is a telephone's. */
const NARROW = 560;

export class Renderer {
  private readonly base = document.createElement('canvas');
  private readonly over = document.createElement('canvas');
  private model: Model | undefined;
  private shown: Shown = { lens: 'errors', found: null, hidden: { nodes: new Set(), edges: new Set() }, selected: '' };
  private lines = new Map<string, Curve>();
  private grid = new Grid([]);
  private colours: Colours = readColours();
  private size = { width: 1, height: 1 };
  view: View = { x: 0, y: 0, k: 1 };
  /** Of what the picture on the lower canvas is. */
  private drawn: View = { x: 0, y: 0, k: 1 };
  private timer = 0;
  private frame = 0;
  private moved = false;
  private hover = '';
  private focus = '';
  private moving = false;
  private beat = 0;
  private readonly watch: ResizeObserver;
  /** How long the last full drawing took, in milliseconds. */
  cost = 0;
  draws = 0;

  constructor(
    private readonly host: HTMLElement,
    private readonly events: Events,
  ) {
    for (const canvas of [this.base, this.over]) {
      canvas.setAttribute('aria-hidden', 'true');
      host.append(canvas);
    }
    this.base.className = 'graph-base';
    this.over.className = 'graph-over';
    this.watch = new ResizeObserver(() => this.resize());
    this.watch.observe(host);
    this.gestures();
    this.resize();
  }

  close(): void {
    this.watch.disconnect();
    cancelAnimationFrame(this.frame);
    cancelAnimationFrame(this.beat);
    clearTimeout(this.timer);
    this.base.remove();
    this.over.remove();
  }

  show(model: Model, shown: Shown): void {
    const first = !this.model || this.model.version !== model.version || this.model.nodes.size === 0;
    this.model = model;
    this.shown = shown;
    this.lines = curves(model);
    this.grid = new Grid([...model.nodes.values()].filter((n) => !shown.hidden.nodes.has(n.id)));
    if (first && !this.moved) this.begin();
    else this.redraw();
  }

  recolour(): void {
    this.colours = readColours();
    this.redraw();
  }

  setFocus(id: string): void {
    this.focus = id;
    this.above();
  }

  /** Dots that run along the calls. */
  animate(on: boolean): void {
    if (on === this.moving) return;
    this.moving = on;
    const step = () => {
      if (!this.moving) return;
      if (!document.hidden) this.above();
      this.beat = requestAnimationFrame(step);
    };
    if (on) this.beat = requestAnimationFrame(step);
    else this.above();
  }

  /** What is seen first: everything, or as much of it as can be read around what is selected. */
  private begin(): void {
    this.fit();
    if (this.shown?.selected) this.reveal(this.shown.selected);
  }

  /** Everything, or what is around these nodes. */
  fit(ids?: Iterable<string>): void {
    if (!this.model) return;
    let box = bounds(this.model);
    if (ids) {
      const nodes = [...ids].flatMap((id) => this.model?.nodes.get(id) ?? []);
      if (nodes.length > 0) {
        const [xs, ys] = [nodes.map((n) => n.x), nodes.map((n) => n.y)];
        const [x, y] = [Math.min(...xs) - 200, Math.min(...ys) - 120];
        const [right, bottom] = [Math.max(...xs) + 200, Math.max(...ys) + 120];
        box = { x, y, width: right - x, height: bottom - y, right, bottom };
      }
    }
    const pad = 28;
    const all = Math.min((this.size.width - 2 * pad) / box.width, (this.size.height - 2 * pad) / box.height, 1.15);
    // A few nodes stay readable on a narrow screen, even if one has to pan.
    const k = this.model.nodes.size <= 40 && this.size.width < NARROW ? Math.max(all, NEAR) : all;
    this.look({
      k,
      // What is wider than a narrow screen begins at its left.
      x: Math.min(box.x - pad / k, box.x) - Math.max(0, (this.size.width / k - box.width) / 2 - pad / k),
      y: box.y - (this.size.height / k - box.height) / 2,
    });
    this.redraw();
  }

  zoom(factor: number, x = this.size.width / 2, y = this.size.height / 2): void {
    const k = Math.max(this.least(), Math.min(CLOSEST, this.view.k * factor));
    const [wx, wy] = [this.view.x + x / this.view.k, this.view.y + y / this.view.k];
    this.moved = true;
    this.look({ k, x: wx - x / k, y: wy - y / k });
  }

  private least(): number {
    if (!this.model) return 0.05;
    const box = bounds(this.model);
    return Math.min(0.3, 0.5 * Math.min(this.size.width / box.width, this.size.height / box.height));
  }

  /** Brings a node, or the middle of a call, into sight, near enough to be read. */
  reveal(id: string): void {
    const line = this.lines.get(id);
    const [mx, my] = line ? pointAt(line, 0.5) : [0, 0];
    const node = this.model?.nodes.get(id) ?? (line ? { x: mx, y: my } : undefined);
    if (!node) return;
    const [x, y] = this.toScreen(node.x, node.y);
    const inside = x > 60 && y > 40 && x < this.size.width - 60 && y < this.size.height - 40;
    if (inside && this.view.k > FAR) return;
    const k = Math.max(this.view.k, 0.8);
    this.look({ k, x: node.x - this.size.width / 2 / k, y: node.y - this.size.height / 2 / k });
    this.redraw();
  }

  toScreen(x: number, y: number): [number, number] {
    return [(x - this.view.x) * this.view.k, (y - this.view.y) * this.view.k];
  }

  /** Nodes on the screen, as boxes of the screen; none from so far that namespaces are meant. */
  visible(): { node: Node; x: number; y: number; width: number; height: number }[] {
    if (!this.model) return [];
    const [w, h] = [this.model.nodeSize[0] * this.view.k, this.model.nodeSize[1] * this.view.k];
    const all = [];
    for (const node of this.model.nodes.values()) {
      if (this.shown.hidden.nodes.has(node.id)) continue;
      const [x, y] = this.toScreen(node.x, node.y);
      if (x < -w || y < -h || x > this.size.width + w || y > this.size.height + h) continue;
      all.push({ node, x: x - w / 2, y: y - h / 2, width: w, height: h });
    }
    return all;
  }

  private resize(): void {
    const { clientWidth, clientHeight } = this.host;
    if (clientWidth === 0 || clientHeight === 0) return;
    const before = this.size;
    this.size = { width: clientWidth, height: clientHeight };
    if (before.width <= 1 || !this.moved) this.begin();
    this.redraw();
  }

  private look(view: View): void {
    this.view = view;
    const { drawn } = this;
    const scale = view.k / drawn.k;
    const margin = this.margin();
    const x = (drawn.x - view.x) * view.k - margin.x * scale;
    const y = (drawn.y - view.y) * view.k - margin.y * scale;
    this.base.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    this.above();
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.redraw(), SETTLE);
  }

  private margin(): { x: number; y: number } {
    return { x: this.size.width * MARGIN, y: this.size.height * MARGIN };
  }

  private redraw(): void {
    clearTimeout(this.timer);
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.paint());
  }

  private paint(): void {
    if (!this.model) return;
    const began = performance.now();
    const margin = this.margin();
    const [width, height] = [this.size.width + 2 * margin.x, this.size.height + 2 * margin.y];
    const ctx = prepare(this.base, width, height);
    if (!ctx) return;
    const view = { k: this.view.k, x: this.view.x - margin.x / this.view.k, y: this.view.y - margin.y / this.view.k };
    new Painter(ctx, view, { width, height }, this.colours, this.model, this.shown, this.lines).all();
    this.drawn = { ...this.view };
    this.base.style.transform = `translate(${-margin.x}px, ${-margin.y}px)`;
    this.cost = performance.now() - began;
    this.draws += 1;
    this.above();
    this.events.settled();
  }

  private above(): void {
    const ctx = prepare(this.over, this.size.width, this.size.height);
    if (!ctx || !this.model) return;
    const { k } = this.view;
    for (const id of new Set([this.hover, this.focus])) {
      const node = this.model.nodes.get(id);
      if (node) {
        const [x, y] = this.toScreen(node.x, node.y);
        const [w, h] = [this.model.nodeSize[0] * k, this.model.nodeSize[1] * k];
        ctx.strokeStyle = id === this.focus ? this.colours.focus : this.colours.accent;
        ctx.lineWidth = id === this.focus ? 3 : 1.5;
        ctx.beginPath();
        ctx.roundRect(x - w / 2 - 3, y - h / 2 - 3, w + 6, h + 6, 10);
        ctx.stroke();
        if (k >= FAR) for (const edge of [...node.in, ...node.out]) this.trace(ctx, edge, 0.5);
      }
      const edge = this.model.edges.get(id);
      if (edge) this.trace(ctx, edge, 0.9);
    }
    if (this.moving && k >= FAR) this.dots(ctx);
  }

  private trace(ctx: CanvasRenderingContext2D, edge: Edge, alpha: number): void {
    const line = this.lines.get(edge.id);
    if (!line) return;
    ctx.globalAlpha = alpha;
    ctx.strokeStyle = this.colours.accent;
    ctx.lineWidth = 2;
    ctx.beginPath();
    ctx.moveTo(...this.toScreen(line.x1, line.y1));
    ctx.bezierCurveTo(
      ...this.toScreen(line.cx1, line.cy1),
      ...this.toScreen(line.cx2, line.cy2),
      ...this.toScreen(line.x2, line.y2),
    );
    ctx.stroke();
    ctx.globalAlpha = 1;
  }

  /** More and faster dots where more is called; squares for the share that fails. */
  private dots(ctx: CanvasRenderingContext2D): void {
    if (!this.model) return;
    const most = Math.max(...[...this.model.edges.values()].map((e) => e.rate), 0.001);
    const now = performance.now() / 1000;
    for (const edge of this.model.edges.values()) {
      const line = this.lines.get(edge.id);
      if (!line || edge.rate <= 0 || this.shown.hidden.edges.has(edge.id)) continue;
      const share = Math.sqrt(edge.rate / most);
      const count = 1 + Math.round(4 * share);
      for (let n = 0; n < count; n += 1) {
        const t = (now * (0.12 + 0.3 * share) + n / count) % 1;
        const [x, y] = this.toScreen(...pointAt(line, t));
        const fails = (n + 0.5) / count <= edge.errorRate;
        ctx.fillStyle = fails ? this.colours.bad : this.colours[lookOf(edge, this.shown, most).tone];
        ctx.beginPath();
        if (fails) ctx.rect(x - 3.5, y - 3.5, 7, 7);
        else ctx.arc(x, y, 2.6, 0, 2 * Math.PI);
        ctx.fill();
      }
    }
  }

  private under(x: number, y: number): string {
    if (!this.model) return '';
    const [wx, wy] = [this.view.x + x / this.view.k, this.view.y + y / this.view.k];
    if (this.view.k < FAR && this.model.frames.length > 1) return '';
    const node = this.grid.under(wx, wy, this.model.nodeSize);
    if (node) return node.id;
    const reach = 7 / this.view.k;
    let best = { id: '', far: reach };
    for (const [id, line] of this.lines) {
      const edge = this.model.edges.get(id);
      if (!edge || this.shown.hidden.edges.has(id) || this.shown.hidden.nodes.has(edge.from.id)) continue;
      const far = distance(line, wx, wy);
      if (far < best.far) best = { id, far };
    }
    return best.id;
  }

  /** From far, a click on a namespace brings it near. */
  private enter(x: number, y: number): boolean {
    if (!this.model || this.view.k >= FAR || this.model.frames.length < 2) return false;
    const [wx, wy] = [this.view.x + x / this.view.k, this.view.y + y / this.view.k];
    const frame = this.model.frames.find((f) => wx >= f.x && wx <= f.x + f.width && wy >= f.y && wy <= f.y + f.height);
    if (!frame) return false;
    this.moved = true;
    const k = Math.max(
      FAR + 0.05,
      Math.min(1, (this.size.width - 60) / frame.width, (this.size.height - 60) / frame.height),
    );
    this.look({
      k,
      x: frame.x + frame.width / 2 - this.size.width / 2 / k,
      y: frame.y + frame.height / 2 - this.size.height / 2 / k,
    });
    return true;
  }

  private gestures(): void {
    const { host } = this;
    const pointers = new Map<number, { x: number; y: number }>();
    let travelled = 0;
    const place = (event: MouseEvent) => {
      const box = host.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    host.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      host.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, place(event));
      travelled = 0;
    });
    host.addEventListener('pointermove', (event) => {
      const here = place(event);
      const before = pointers.get(event.pointerId);
      if (!before) {
        const under = this.under(here.x, here.y);
        if (under !== this.hover) {
          this.hover = under;
          host.style.cursor = under ? 'pointer' : '';
          this.above();
        }
        return;
      }
      const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, p]) => p);
      pointers.set(event.pointerId, here);
      travelled += Math.hypot(here.x - before.x, here.y - before.y);
      const [other] = others;
      if (other) {
        const far = (p: { x: number; y: number }) => Math.hypot(p.x - other.x, p.y - other.y);
        this.zoom(far(here) / Math.max(1, far(before)), other.x, other.y);
        return;
      }
      if (travelled < 4) return;
      this.moved = true;
      const { k } = this.view;
      this.look({ k, x: this.view.x - (here.x - before.x) / k, y: this.view.y - (here.y - before.y) / k });
    });
    const up = (event: PointerEvent) => {
      const was = pointers.delete(event.pointerId);
      if (!was || event.type !== 'pointerup' || travelled >= 4 || pointers.size > 0) return;
      const { x, y } = place(event);
      if (!this.enter(x, y)) this.events.select(this.under(x, y));
    };
    host.addEventListener('pointerup', up);
    host.addEventListener('pointercancel', up);
    host.addEventListener('pointerleave', () => {
      this.hover = '';
      this.above();
    });
    host.addEventListener('dblclick', (event) => {
      const { x, y } = place(event);
      const under = this.under(x, y);
      if (under) this.events.open(under);
    });
    host.addEventListener(
      'wheel',
      (event) => {
        event.preventDefault();
        const { x, y } = place(event);
        const { k } = this.view;
        if (event.ctrlKey || Math.abs(event.deltaY) >= Math.abs(event.deltaX)) {
          this.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), x, y);
        } else {
          this.moved = true;
          this.look({ k, x: this.view.x + event.deltaX / k, y: this.view.y });
        }
      },
      { passive: false },
    );
  }
}

/** A canvas of that size, in the screen's own pixels, empty. */
function prepare(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D | null {
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const ctx = canvas.getContext('2d');
  if (!ctx) return null;
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return ctx;
}
