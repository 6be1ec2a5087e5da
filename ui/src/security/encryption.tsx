// Which calls are encrypted, which are not and why, and what workloads accept.
import { percent, rate } from '../lib/format';
import { timing } from '../lib/live';
import type { Ref } from '../lib/types';
import { useAsk } from '../lib/use';
import { Card, Figure } from '../parts/bits';
import { Identity, IdLink, RefLink } from '../parts/detail';
import { Lock, Sign } from '../parts/sign';
import { Show } from '../parts/state';
import { Table } from '../parts/table';

interface Encryption {
  share: number | null;
  edges: {
    source: string;
    target: string;
    service: string;
    protocol: string;
    rate: number;
    mtls: number | null;
    state: 'encrypted' | 'mixed' | 'plaintext' | 'unknown';
    reason: string | null;
    resource: Ref | null;
    principals: { source: string | null; destination: string | null } | null;
  }[];
  workloads: { id: string; mode: string; resource: Ref | null; plaintextRate: number | null }[];
}

export function EncryptionBoard() {
  const loaded = useAsk<Encryption>(`security/encryption?${timing()}`);
  return (
    <Show of={loaded}>
      {(e) => {
        const plain = e.edges.filter((x) => x.state === 'plaintext' || x.state === 'mixed');
        return (
          <>
            <div class="figures">
              <Figure name="Requests with mutual TLS" value={percent(e.share)} tone={plain.length > 0 ? 'warn' : ''} />
              <Figure
                name="Calls in plaintext"
                value={plain.length}
                note={`of ${e.edges.length}`}
                tone={plain.length > 0 ? 'warn' : ''}
              />
              <Figure
                name="Workloads that insist on it"
                value={e.workloads.filter((w) => w.mode === 'STRICT').length}
                note={`of ${e.workloads.length} are STRICT`}
              />
            </div>
            <Card title="Calls" wide>
              {e.edges.length === 0 ? (
                <p class="muted">No calls were counted in this window.</p>
              ) : (
                <Table
                  caption="Encryption of calls"
                  rows={e.edges}
                  id={(x) => `${x.source}${x.target}${x.service}${x.protocol}`}
                  order="-state"
                  columns={[
                    { id: 'from', name: 'From', by: (x) => x.source, show: (x) => <IdLink id={x.source} /> },
                    { id: 'to', name: 'To', by: (x) => x.target, show: (x) => <IdLink id={x.target} /> },
                    {
                      id: 'state',
                      name: 'State',
                      by: (x) => ['encrypted', 'unknown', 'mixed', 'plaintext'].indexOf(x.state),
                      show: (x) => <Lock share={x.mtls} text={x.state} />,
                    },
                    { id: 'rate', name: 'Requests', number: true, by: (x) => x.rate, show: (x) => rate(x.rate) },
                    {
                      id: 'why',
                      name: 'Why',
                      show: (x) => (
                        <span>
                          {x.reason} {x.resource && <RefLink resource={x.resource} />}
                        </span>
                      ),
                    },
                    {
                      id: 'who',
                      name: 'Client identity',
                      wide: true,
                      show: (x) => <Identity id={x.principals?.source} />,
                    },
                  ]}
                />
              )}
            </Card>
            <Card title="What workloads accept" wide>
              <Table
                caption="Modes of workloads"
                rows={e.workloads}
                id={(w) => w.id}
                order="mode"
                name="sortModes"
                columns={[
                  { id: 'id', name: 'Workload', by: (w) => w.id, show: (w) => <IdLink id={w.id} /> },
                  {
                    id: 'mode',
                    name: 'Mode',
                    by: (w) => w.mode,
                    show: (w) => (
                      <Sign
                        status={w.mode === 'STRICT' ? 'ok' : w.mode === 'DISABLE' ? 'fail' : 'warn'}
                        label={w.mode}
                      />
                    ),
                  },
                  { id: 'by', name: 'Because of', show: (w) => <RefLink resource={w.resource} /> },
                  {
                    id: 'plain',
                    name: 'Plaintext',
                    number: true,
                    by: (w) => w.plaintextRate,
                    show: (w) => rate(w.plaintextRate),
                  },
                ]}
              />
            </Card>
          </>
        );
      }}
    </Show>
  );
}
