// Whose certificate ends when, and what roots are trusted.
import { span } from '../lib/format';
import { useAsk } from '../lib/use';
import { Card, Figure } from '../parts/bits';
import { Identity, IdLink } from '../parts/detail';
import { Sign, type Status } from '../parts/sign';
import { Show } from '../parts/state';
import { Table } from '../parts/table';

interface Certificates {
  /** Of the rotation of the root. */
  phase: string;
  signsUntil: number | null;
  roots: { role: string; subject: string; expires: number; fingerprint: string }[];
  workloads: {
    workload: string;
    pod: string;
    identity: string;
    serial: string;
    root: string;
    expires: number;
    state: 'fresh' | 'due' | 'expired' | 'revoked';
  }[];
}

const FRESH: Record<string, Status> = { fresh: 'ok', due: 'warn', expired: 'fail', revoked: 'fail' };

export function CertificateBoard() {
  const loaded = useAsk<Certificates>('security/certificates', 'proxies');
  const now = Date.now() / 1000;
  return (
    <Show of={loaded}>
      {(c) => (
        <>
          <div class="figures">
            <Figure
              name="Certificate authority"
              value={c.signsUntil === null ? '–' : span(c.signsUntil - now)}
              note="left until it cannot sign any more"
            />
            <Figure name="Rotation" value={<span class="figure-small">{c.phase}</span>} />
            <Figure
              name="Certificates"
              value={c.workloads.length}
              note={`${c.workloads.filter((w) => w.state !== 'fresh').length} not fresh`}
            />
          </div>
          <Card title="Roots that are trusted">
            <Table
              caption="Roots"
              rows={c.roots}
              id={(r) => r.fingerprint}
              order="role"
              name="sortRoots"
              columns={[
                { id: 'role', name: 'Role', by: (r) => r.role, show: (r) => r.role },
                { id: 'subject', name: 'Subject', show: (r) => <span class="break">{r.subject}</span> },
                { id: 'expires', name: 'Left', number: true, by: (r) => r.expires, show: (r) => span(r.expires - now) },
                { id: 'print', name: 'Fingerprint', wide: true, show: (r) => <code>{r.fingerprint}</code> },
              ]}
            />
          </Card>
          <Card title="Workloads, the next to expire first" wide>
            {c.workloads.length === 0 ? (
              <p class="muted">No certificate has been issued since this control plane began.</p>
            ) : (
              <Table
                caption="Certificates of workloads"
                rows={c.workloads}
                id={(w) => w.serial}
                order="expires"
                columns={[
                  { id: 'workload', name: 'Workload', by: (w) => w.workload, show: (w) => <IdLink id={w.workload} /> },
                  {
                    id: 'state',
                    name: 'State',
                    by: (w) => w.state,
                    show: (w) => <Sign status={FRESH[w.state] ?? 'unknown'} label={w.state} />,
                  },
                  {
                    id: 'expires',
                    name: 'Left',
                    by: (w) => w.expires,
                    number: true,
                    show: (w) => span(w.expires - now),
                  },
                  { id: 'identity', name: 'Identity', show: (w) => <Identity id={w.identity} /> },
                  { id: 'pod', name: 'Pod', wide: true, by: (w) => w.pod, show: (w) => w.pod },
                ]}
              />
            )}
          </Card>
        </>
      )}
    </Show>
  );
}
