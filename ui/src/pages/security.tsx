// Security: what is encrypted and what is not and why, how long certificates last, what policies do, and who can call whom.
import { link, place } from '../lib/router';
import { Tabs, Title } from '../parts/bits';
import { CopyMenu } from '../parts/copy';
import { AccessBoard } from '../security/access';
import { CertificateBoard } from '../security/certificates';
import { EncryptionBoard } from '../security/encryption';
import { PolicyBoard } from '../security/policies';

const TABS = [
  { id: 'encryption', name: 'Encryption' },
  { id: 'certificates', name: 'Certificates' },
  { id: 'policies', name: 'Policies' },
  { id: 'access', name: 'Who can call whom' },
];
const COMMANDS: Record<string, string> = {
  encryption: 'tulle mtls ready',
  certificates: 'tulle ca status',
  policies: 'tulle get authorizationpolicies -A',
  access: 'tulle authz gap',
};

const QUERIES: Record<string, string> = {
  encryption:
    'sum by (source_workload, destination_workload) (rate(istio_requests_total{reporter="destination",connection_security_policy!="mutual_tls"}[1m]))',
  policies: 'sum by (policy_namespace, policy, rule, result) (rate(tulle_authorization_total[1m]))',
  access:
    'sum by (source_principal, destination_workload) (rate(istio_requests_total{reporter="destination",response_code="403"}[1m]))',
};

export function SecurityPage() {
  const tab = place.value.parts[1] ?? 'encryption';
  const known = TABS.some((t) => t.id === tab) ? tab : 'encryption';
  return (
    <>
      <Title
        sub="From what was counted and what is configured, side by side."
        actions={
          <CopyMenu
            items={[
              { name: 'Command', text: COMMANDS[known] ?? '' },
              { name: 'PromQL', text: QUERIES[known] ?? '' },
              { name: 'curl', text: `curl -s '${new URL(`./api/security/${known}`, document.baseURI)}'` },
            ]}
          />
        }
      >
        Security
      </Title>
      <Tabs current={known} tabs={TABS} href={(id) => link(['security', id])} />
      {known === 'encryption' && <EncryptionBoard />}
      {known === 'certificates' && <CertificateBoard />}
      {known === 'policies' && <PolicyBoard />}
      {known === 'access' && <AccessBoard />}
    </>
  );
}
