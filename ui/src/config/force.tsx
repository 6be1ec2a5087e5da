// Whether a resource is in force, on whom, and what its status says.
import { link } from '../lib/router';
import { Card } from '../parts/bits';
import { Sign, type Status } from '../parts/sign';
import { Table } from '../parts/table';
import { Findings } from './findings';
import { type Detail, force } from './types';

export function InForce({ r }: { r: Detail }) {
  const proxies: Record<string, Status> = { has: 'ok', waits: 'warn', refuses: 'fail' };
  return (
    <div class="grid">
      <Card title={`In force: ${force(r.programmed)}`}>
        {r.programmed.proxies.length === 0 ? (
          <p class="muted">No connected proxy needs it.</p>
        ) : (
          <Table
            caption="Proxies that need it"
            rows={r.programmed.proxies}
            id={(p) => p.id}
            order="state"
            name="sortProxies"
            columns={[
              { id: 'id', name: 'Proxy', by: (p) => p.id, show: (p) => <a href={link(['control', p.id])}>{p.id}</a> },
              {
                id: 'state',
                name: 'State',
                by: (p) => ['refuses', 'waits', 'has'].indexOf(p.state),
                show: (p) => (
                  <>
                    <Sign
                      status={proxies[p.state] ?? 'unknown'}
                      label={p.state === 'has' ? 'has it' : p.state === 'waits' ? 'waits for it' : 'refuses it'}
                    />
                    {p.message && <div class="why-short break">{p.message}</div>}
                  </>
                ),
              },
            ]}
          />
        )}
      </Card>
      <Card title="Conditions">
        {r.conditions.length === 0 ? (
          <p class="muted">None has been written.</p>
        ) : (
          <ul class="plain">
            {r.conditions.map((c) => (
              <li key={c.type}>
                <b>{c.type}</b> {c.status} <span class="muted">{c.reason}</span>
                <div class="break">{c.message}</div>
              </li>
            ))}
          </ul>
        )}
      </Card>
      <Card title="Findings">
        {r.diagnostics.length === 0 ? (
          <p class="muted">Nothing is wrong with it.</p>
        ) : (
          <Findings found={r.diagnostics} />
        )}
      </Card>
    </div>
  );
}
