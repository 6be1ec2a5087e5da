// A chart of PromQL ranges; the figures behind it are a table for those who do not see it.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { Failed } from '../lib/api';
import { changes, type Moment, moments, momentWords } from '../lib/changes';
import { clock } from '../lib/format';
import { era, following, ticks } from '../lib/live';
import { columns, range, type Series } from '../lib/promql';
import { option, place } from '../lib/router';
import { colour, palette } from '../lib/theme';
import { CopyMenu } from '../parts/copy';

export interface Line {
  name: string;
  query: string;
  /** A colour of the style sheet. */
  tone: string;
  dash?: boolean;
}

interface Props {
  title: string;
  lines: Line[];
  format: (value: number | null) => string;
  /** How far back, in seconds. */
  span?: number;
  height?: number;
  /** One line for each value of this label instead of the one of each query. */
  by?: string;
}

/** What a chart shows at least, in seconds. */
const SHORTEST = 120;
const TONES = ['flow', 'series2', 'series3', 'series4', 'series5', 'series6'];

interface Table {
  data: (number | null)[][];
  names: string[];
  tones: string[];
  dashes: boolean[];
}

export function Chart({ title, lines, format, span = 900, height = 132, by }: Props) {
  const [table, put] = useState<Table | null>(null);
  const [wrong, fail] = useState('');
  const tick = ticks.traffic.value;
  const now = era.value;
  const at = option('at');
  const key = `${JSON.stringify(lines)}|${span}|${by ?? ''}|${at}`;
  // The key names the lines, a tick and another era mean to ask again
  useEffect(() => {
    let over = false;
    const step = Math.max(5, Math.ceil(span / 180 / 5) * 5);
    const end = Math.floor((at ? Number(at) : Date.now() / 1000) / step) * step;
    const start = end - span;
    Promise.all(lines.map((line) => range(line.query, start, end, step))).then(
      (all) => {
        if (over) return;
        fail('');
        put(tabulate(lines, all, by, start, end, step));
      },
      (error: unknown) => {
        if (!over) fail(error instanceof Failed ? error.problem.message : String(error));
      },
    );
    return () => {
      over = true;
    };
  }, [key, tick, now]);
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">
          {title} <CopyMenu label="PromQL" of={title} items={lines.map((l) => ({ name: l.name, text: l.query }))} />
        </span>
        <span class="chart-keys">
          {table?.names.map((name, n) => (
            <span key={name} class="chart-key">
              <i class={`fill-${table.tones[n]}`} aria-hidden="true" />
              {name} <b>{format(latest(table.data[n + 1]))}</b>
            </span>
          ))}
        </span>
      </figcaption>
      {wrong && !table ? <p class="chart-none">{wrong}</p> : <Plot table={table} format={format} height={height} />}
      {table && table.names.length > 0 && <Figures title={title} table={table} format={format} />}
    </figure>
  );
}

function tabulate(
  lines: Line[],
  all: Series[][],
  by: string | undefined,
  start: number,
  end: number,
  step: number,
): Table {
  const flat: { name: string; tone: string; dash: boolean; series: Series }[] = [];
  for (const [n, line] of lines.entries()) {
    for (const series of (all[n] ?? []).slice(0, by ? 8 : 1)) {
      const name = by ? series.labels[by] || line.name : line.name;
      const tone = by ? TONES[flat.length % TONES.length]! : line.tone;
      flat.push({ name, tone, dash: line.dash ?? false, series });
    }
  }
  const whole = columns(
    flat.map((f) => f.series),
    start,
    end,
    step,
  );
  const data = begun(whole, step);
  if (!data) return { data: [], names: [], tones: [], dashes: [] };
  return { data, names: flat.map((f) => f.name), tones: flat.map((f) => f.tone), dashes: flat.map((f) => f.dash) };
}

/** Without the time before anything was counted: a young mesh fills its charts, too. `null` if nothing was. */
function begun(data: (number | null)[][], step: number): (number | null)[][] | null {
  const first = Math.min(
    ...data
      .slice(1)
      .map((row) => row.findIndex((v) => v !== null))
      .filter((at) => at >= 0),
  );
  if (!Number.isFinite(first)) return null;
  const length = data[0]!.length;
  const from = Math.max(0, Math.min(first - 1, length - Math.ceil(SHORTEST / step)));
  return data.map((row) => row.slice(from));
}

function latest(row: (number | null)[] | undefined): number | null {
  return row?.findLast((v) => v !== null) ?? null;
}

function Plot({ table, format, height }: { table: Table | null; format: Props['format']; height: number }) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const colours = palette.value;
  const shape = table ? `${table.names.join('|')}|${table.tones.join('|')}` : '';
  const following_ = following.value;
  const form = useRef(format);
  form.current = format;
  // Data are put in below; only another shape needs another plot
  useEffect(() => {
    if (!host.current || !table || table.names.length === 0) return;
    const made = new uPlot(
      settings(table, host.current.clientWidth, height, (v) => form.current(v)),
      table.data as uPlot.AlignedData,
      host.current,
    );
    plot.current = made;
    const watch = new ResizeObserver(() => {
      if (host.current) made.setSize({ width: host.current.clientWidth, height });
    });
    watch.observe(host.current);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [shape, colours, height]);
  useEffect(() => {
    if (table && table.names.length > 0 && plot.current) plot.current.setData(table.data as uPlot.AlignedData);
  }, [table]);
  const marks = changes.value;
  useEffect(() => plot.current?.redraw(false), [marks]);
  if (!table) return <div class="chart-wait" style={{ height: `${height}px` }} />;
  if (table.names.length === 0)
    return <p class="chart-none">{following_ ? 'Nothing counted in this time.' : 'Nothing is kept of this time.'}</p>;
  return <div ref={host} class="chart-plot" aria-hidden="true" style={{ height: `${height}px` }} />;
}

function settings(table: Table, width: number, height: number, format: (v: number | null) => string): uPlot.Options {
  const [muted, grid] = [colour('muted'), colour('line')];
  const font = '11px ui-sans-serif, system-ui, sans-serif';
  return {
    width,
    height,
    legend: { show: false },
    cursor: { points: { size: 6 }, drag: { x: false, y: false } },
    padding: [8, 18, 0, 0],
    scales: { x: { time: true }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.12 : 1] } },
    axes: [
      {
        stroke: muted,
        font,
        grid: { show: false },
        ticks: { show: false },
        size: 22,
        space: 70,
        values: (_, all) => all.map((t) => clock(t).slice(0, 5)),
      },
      {
        stroke: muted,
        font,
        grid: { stroke: grid, width: 1 },
        ticks: { show: false },
        size: 58,
        space: 34,
        values: (_, all) => all.map((v) => format(v)),
      },
    ],
    series: [
      {},
      ...table.names.map((name, n) => ({
        label: name,
        stroke: colour(table.tones[n]!),
        width: 1.6,
        ...(table.dashes[n] ? { dash: [5, 4] } : {}),
        ...(table.names.length === 1 ? { fill: `${colour(table.tones[n]!)}1c` } : {}),
        // Few values are no line.
        points: {
          show: (u: uPlot, at: number) => [...(u.data[at] ?? [])].filter((v) => v != null).length < 4,
          size: 5,
        },
        spanGaps: false,
      })),
    ],
    plugins: [marks(), tip(table, format)],
  };
}

/** The moments at which something was changed, between two times. */
function momentsIn(from: number, to: number): Moment[] {
  return moments(changes.peek()).filter((m) => m.time >= from && m.time <= to);
}

/** A line where something was changed. */
function marks(): uPlot.Plugin {
  return {
    hooks: {
      draw: (u) => {
        const { min, max } = u.scales.x!;
        if (min == null || max == null) return;
        const { ctx } = u;
        const { top, height } = u.bbox;
        ctx.save();
        ctx.strokeStyle = colour('accent');
        ctx.fillStyle = colour('accent');
        ctx.lineWidth = devicePixelRatio;
        ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
        for (const moment of momentsIn(min, max)) {
          const x = Math.round(u.valToPos(moment.time, 'x', true));
          const half = 4 * devicePixelRatio;
          ctx.beginPath();
          ctx.moveTo(x, top);
          ctx.lineTo(x, top + height);
          ctx.stroke();
          ctx.beginPath();
          ctx.moveTo(x - half, top - half);
          ctx.lineTo(x + half, top - half);
          ctx.lineTo(x, top + half);
          ctx.fill();
        }
        ctx.restore();
      },
    },
  };
}

/** The figures under the pointer. */
function tip(table: Table, format: (v: number | null) => string): uPlot.Plugin {
  const box = document.createElement('div');
  box.className = 'chart-tip';
  return {
    hooks: {
      init: (u) => u.over.append(box),
      setCursor: (u) => {
        const { idx, left = -1 } = u.cursor;
        if (idx == null || left < 0) {
          box.style.display = 'none';
          return;
        }
        const rows = table.names.map(
          (name, n) => `${name}: ${format((u.data[n + 1]?.[idx] as number | null) ?? null)}`,
        );
        const time = u.data[0][idx]!;
        // Within a few pixels of a mark it is told what was changed.
        const near = 6 * Math.abs(u.posToVal(1, 'x') - u.posToVal(0, 'x'));
        const marked = momentsIn(time - near, time + near).map((m) => `${clock(m.time)} ${momentWords(m)}`);
        box.textContent = [clock(time), ...rows, ...marked].join('\n');
        box.style.display = 'block';
        box.style.left = left > u.over.clientWidth / 2 ? '' : `${left + 12}px`;
        box.style.right = left > u.over.clientWidth / 2 ? `${u.over.clientWidth - left + 12}px` : '';
      },
    },
  };
}

function Figures({ title, table, format }: { title: string; table: Table; format: Props['format'] }) {
  const rows = useMemo(() => {
    const times = table.data[0] ?? [];
    const every = Math.max(1, Math.floor(times.length / 6));
    return times.flatMap((time, at) => (at % every === 0 && time !== null ? [{ time, at }] : []));
  }, [table]);
  const [from, to] = [table.data[0]?.[0] ?? 0, table.data[0]?.at(-1) ?? 0];
  const changed = momentsIn(from, to).map((m) => `${clock(m.time)} ${momentWords(m)}`);
  return (
    // A table of its own would be as wide as its caption
    <div class="hidden-text">
      <table>
        <caption>
          {title}
          {changed.length > 0 && `. Changed in this time: ${changed.join('; ')}`}
        </caption>
        <thead>
          <tr>
            <th scope="col">Time</th>
            {table.names.map((n) => (
              <th key={n} scope="col">
                {n}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ time, at }) => (
            <tr key={time}>
              <th scope="row">{clock(time)}</th>
              {table.names.map((n, row) => (
                <td key={n}>{format(table.data[row + 1]?.[at] ?? null)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** How far back charts go: five windows, and at least a quarter of an hour. */
export function chartSpan(): number {
  const found = /^(\d+)m$/.exec(place.value.query.get('window') ?? '1m');
  return Math.max(900, Number(found?.[1] ?? 1) * 5 * 60);
}
