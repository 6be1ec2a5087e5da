// The frame that the pages of one service and of one workload have in common: what it is called, ways on, figures, and parts of which
// one is shown.
import type { ComponentChildren } from 'preact';
import { badgeWords } from '../graph/badges';
import { link, type Options, option } from '../lib/router';
import type { Health, Reason } from '../lib/types';
import type { Loaded } from '../lib/use';
import { Figure, Tabs, Title } from './bits';
import { CopyMenu } from './copy';
import { RefLink } from './detail';
import { Sign } from './sign';
import { Show } from './state';

interface Detailed {
  health: Health;
  reasons: Reason[];
  badges: string[];
  queries: Record<string, string>;
  commands: string[];
}

interface Props<T extends Detailed> {
  kind: 'service' | 'workload';
  namespace: string;
  name: string;
  sub: string;
  /** Options of the graph and of the live requests that show it. */
  graph: Options;
  requests: Options;
  extra?: ComponentChildren;
  loaded: Loaded<T>;
  /** Why it is not healthy, if more is known than its own reasons. */
  reasons?: (of: T) => Reason[];
  figures: (of: T) => ComponentChildren;
  /** The first is shown where the address names none. */
  parts: { id: string; name: string; show: (of: T) => ComponentChildren }[];
}

export function DetailPage<T extends Detailed>(props: Props<T>) {
  const { kind, namespace, name, loaded, parts } = props;
  const first = parts[0]?.id ?? '';
  const current = option('tab', first);
  const { data } = loaded;
  return (
    <>
      <Title
        sub={props.sub}
        actions={
          <>
            <a class="button" href={link(['graph'], props.graph)}>
              In the graph
            </a>
            <a class="button" href={link(['requests'], props.requests)}>
              Live requests
            </a>
            {props.extra}
            <CopyMenu
              items={[
                ...(data?.commands ?? []).map((text) => ({ name: 'Command', text })),
                ...Object.entries(data?.queries ?? {}).map(([id, text]) => ({ name: `PromQL: ${id}`, text })),
              ]}
            />
          </>
        }
      >
        {name}
      </Title>
      <Tabs
        current={current}
        href={(id) => link([kind, namespace, name], { tab: id === first ? '' : id })}
        tabs={parts}
      />
      <Show of={loaded}>
        {(of) => (
          <>
            <div class="figures">
              <Figure name="Health" value={<Sign status={of.health} />} />
              {props.figures(of)}
            </div>
            <Reasons reasons={props.reasons?.(of) ?? of.reasons} />
            {of.badges.length > 0 && (
              <ul class="badges" aria-label="Configured">
                {of.badges.map((b) => (
                  <li key={b}>{badgeWords(b)}</li>
                ))}
              </ul>
            )}
            {(parts.find((p) => p.id === current) ?? parts[0])?.show(of)}
          </>
        )}
      </Show>
    </>
  );
}

/** Why something is not healthy, each with the resource that makes it so. */
export function Reasons({ reasons, most = 6 }: { reasons: Reason[]; most?: number }) {
  const told = reasons.filter((r, at) => reasons.findIndex((other) => other.text === r.text) === at);
  if (told.length === 0) return null;
  return (
    <ul class="reasons" aria-label="Why">
      {told.slice(0, most).map((r) => (
        <li key={r.text}>
          {r.text}
          {r.resource && (
            <>
              {' '}
              <RefLink resource={r.resource} rule={r.rule} />
            </>
          )}
        </li>
      ))}
    </ul>
  );
}
