// What happened to one request, hop by hop, in words.
import { bytes, millis } from '../lib/format';
import { link } from '../lib/router';
import { flagWords } from '../lib/words';
import { CopyMenu } from '../parts/copy';
import { Lock } from '../parts/sign';
import type { Request } from './record';

export function Explained({ r }: { r: Request }) {
  const flags = r.flags === '-' ? [] : r.flags.split(',').filter(Boolean);
  const upstream = r.upstream_duration;
  return (
    <div class="explained">
      {flags.map((f) => (
        <p key={f}>
          <b class="tone-bad">{f}</b>: {flagWords(f)}.
        </p>
      ))}
      <dl class="facts">
        <dt>Asked</dt>
        <dd>
          {r.method}{' '}
          <span class="break">
            {r.authority}
            {r.path}
          </span>{' '}
          over {r.protocol}, {bytes(r.request_bytes)}
        </dd>
        <dt>By</dt>
        <dd>
          {r.source.workload || 'unknown'} {r.source.namespace && `in ${r.source.namespace}`}{' '}
          <span class="muted break">{r.source.principal || r.source.address}</span>
        </dd>
        <dt>Route</dt>
        <dd class="break">
          {r.route || '–'} {r.rule && <RuleLink rule={r.rule} />}
        </dd>
        <dt>Cluster</dt>
        <dd class="break">{r.cluster || '–'}</dd>
        <dt>Answered by</dt>
        <dd>
          {r.destination.workload || '–'}{' '}
          <span class="muted break">
            {r.destination.address} {r.destination.principal}
          </span>
        </dd>
        <dt>Attempts</dt>
        <dd>{r.attempts}</dd>
        <dt>Encryption</dt>
        <dd>
          <Lock share={r.mtls ? 1 : 0} text={r.mtls ? 'mutual TLS' : 'plaintext'} />
        </dd>
        <dt>Time</dt>
        <dd>
          {millis(r.duration)}
          {upstream !== null && `, of these ${millis(upstream)} until the server began to answer`}
        </dd>
        <dt>Answer</dt>
        <dd>
          {r.status || 'none'}, {bytes(r.response_bytes)} <span class="muted">{r.details}</span>
        </dd>
        <dt>Told by</dt>
        <dd>
          {r.reporter === 'source' ? 'the client' : 'the server'}, {r.pod}
        </dd>
      </dl>
      {Object.keys(r.headers).length > 0 && (
        <details>
          <summary>Headers</summary>
          <dl class="facts mono">
            {Object.entries(r.headers).map(([name, value]) => (
              <>
                <dt>{name}</dt>
                <dd class="break">{value}</dd>
              </>
            ))}
          </dl>
        </details>
      )}
      <div class="actions">
        {r.trace_id && (
          <a class="button" href={link(['traces', r.trace_id])}>
            Trace
          </a>
        )}
        <a class="button" href={link(['requests'], { request_id: r.request_id })}>
          All hops
        </a>
        <CopyMenu
          items={[
            { name: 'Command: all hops', text: `tulle tap --request-id ${r.request_id} --tail 20` },
            { name: 'Request id', text: r.request_id },
            { name: 'JSON', text: JSON.stringify(r) },
          ]}
        />
      </div>
    </div>
  );
}

/** `VirtualService default/reviews http[0]`, as proxies say which rule routed a request. */
const RULE = /^(\S+) ([^/\s]+)\/(\S+)(?: (.+))?$/;

function RuleLink({ rule }: { rule: string }) {
  const found = RULE.exec(rule);
  if (!found) return <span class="muted">{rule}</span>;
  return (
    <a href={link(['config', found[1]!, found[2]!, found[3]!])}>
      {found[1]} {found[2]}/{found[3]}
      {found[4] && `, ${found[4]}`}
    </a>
  );
}
