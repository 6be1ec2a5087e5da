// How something that was just applied comes into force: asked for every second until every proxy that it concerns has it.
import { useEffect, useState } from 'preact/hooks';
import { ask } from '../lib/api';
import { named } from '../lib/changes';
import { link } from '../lib/router';
import type { Ref } from '../lib/types';
import { Share } from '../parts/bits';
import { Sign } from '../parts/sign';
import { type Detail, force, pathOf, STATE } from './types';

const EVERY = 1000;
/** After so many questions the page stops to ask; the resource's own page goes on. */
const MOST = 60;

export function Propagation({ resource, since }: { resource: Ref; since: number }) {
  const [now, put] = useState<Detail['programmed'] | null>(null);
  useEffect(() => {
    let over = false;
    let asked = 0;
    let timer = 0;
    const look = () => {
      asked += 1;
      ask<Detail>(pathOf(resource.id)).then(
        ({ programmed }) => {
          if (over) return;
          put(programmed);
          // A change that concerns a proxy is not known to the first second.
          const settled = programmed.state === 'programmed' || (programmed.state === 'idle' && asked > 5);
          if (!settled && asked < MOST) timer = window.setTimeout(look, EVERY);
        },
        () => {
          if (!over && asked < MOST) timer = window.setTimeout(look, EVERY);
        },
      );
    };
    look();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [resource.id, since]);
  const rest = now?.proxies.filter((p) => p.state !== 'has') ?? [];
  return (
    <li class="propagation">
      <a href={link(['config', ...resource.id.split('/')], { tab: 'force' })}>{named(resource)}</a>
      {now ? <Sign status={STATE[now.state] ?? 'unknown'} label={force(now)} /> : <span class="muted">asking</span>}
      {now && now.of > 0 && <Share value={now.have / now.of} label="" tone={rest.length > 0 ? 'warn' : 'good'} />}
      {rest.slice(0, 5).map((p) => (
        <div key={p.id} class="why-short break">
          {p.id} {p.state === 'refuses' ? `refuses it: ${p.message}` : 'waits for it'}
        </div>
      ))}
    </li>
  );
}
