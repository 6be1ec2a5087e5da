// Locks and signs of health, as the graph draws them.

import type { Tone } from './lens';
import type { Colours } from './paint';

/** Closed, half or open, by the share of encrypted requests. */
export function drawLock(ctx: CanvasRenderingContext2D, c: Colours, x: number, y: number, share: number): void {
  const tone: Tone = share >= 0.9995 ? 'good' : share > 0 ? 'warn' : 'bad';
  ctx.fillStyle = c[tone];
  ctx.strokeStyle = c[tone];
  ctx.lineWidth = 1.5;
  ctx.beginPath();
  ctx.roundRect(x + 1, y - 1, 9, 6.5, 1.5);
  ctx.fill();
  ctx.beginPath();
  if (share >= 0.9995) ctx.arc(x + 5.5, y - 1.5, 2.6, Math.PI, 0);
  else ctx.arc(x + 8.8, y - 2, 2.6, Math.PI, 0);
  ctx.stroke();
}

/** Health as a shape: a disc, a triangle, a diamond, a ring. */
export function drawSign(ctx: CanvasRenderingContext2D, c: Colours, x: number, y: number, tone: Tone): void {
  ctx.fillStyle = c[tone];
  ctx.strokeStyle = c[tone];
  ctx.beginPath();
  if (tone === 'warn') {
    ctx.moveTo(x, y - 6);
    ctx.lineTo(x + 6.5, y + 5);
    ctx.lineTo(x - 6.5, y + 5);
    ctx.closePath();
    ctx.fill();
  } else if (tone === 'bad') {
    ctx.moveTo(x, y - 7);
    ctx.lineTo(x + 7, y);
    ctx.lineTo(x, y + 7);
    ctx.lineTo(x - 7, y);
    ctx.closePath();
    ctx.fill();
  } else {
    ctx.arc(x, y, tone === 'idle' ? 4 : 4.5, 0, 2 * Math.PI);
    ctx.lineWidth = 1.5;
    if (tone === 'idle') ctx.stroke();
    else ctx.fill();
  }
}
