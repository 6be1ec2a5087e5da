// What exactly a proxy was sent, and which resource each of it was made of.
import { link, option, set } from '../lib/router';
import type { Ref } from '../lib/types';
import { useAsk } from '../lib/use';
import { Card, Filter, Tabs, Title } from '../parts/bits';
import { CopyMenu } from '../parts/copy';
import { RefLink } from '../parts/detail';
import { Sign } from '../parts/sign';
import { Note, Show } from '../parts/state';
import { Table } from '../parts/table';

interface Sent {
  types: Record<string, { name: string; madeBy: Ref[]; refused: string | null; resource: unknown }[]>;
}

/** What commands call the kinds. */
const WORDS: Record<string, string> = {
  cds: 'clusters',
  lds: 'listeners',
  rds: 'routes',
  eds: 'endpoints',
  sds: 'secrets',
};

export function Dump({ id }: { id: string }) {
  const loaded = useAsk<Sent>(`proxies/${encodeURIComponent(id)}/dump`, 'configuration');
  const tab = option('tab', 'cds');
  const open = option('open');
  const q = option('q').toLowerCase();
  const [pod = '', namespace = ''] = [id.slice(0, id.lastIndexOf('.')), id.slice(id.lastIndexOf('.') + 1)];
  const types = Object.keys(loaded.data?.types ?? { cds: [] });
  return (
    <>
      <Title
        sub={`What the control plane sent to this proxy in ${namespace}`}
        actions={
          <CopyMenu
            items={[
              { name: 'Command', text: `tulle proxy-config ${WORDS[tab] ?? 'all'} ${pod} -n ${namespace}` },
              { name: 'Command: log level', text: `tulle proxy-config log ${pod} -n ${namespace} --level debug` },
              { name: 'curl', text: `curl -s '${new URL(`./api/proxies/${id}/dump`, document.baseURI)}'` },
            ]}
          />
        }
      >
        {pod}
      </Title>
      <Tabs
        current={tab}
        href={(t) => link(['control', id], { tab: t === 'cds' ? '' : t })}
        tabs={types.map((t) => ({
          id: t,
          name: `${t.toUpperCase()}${loaded.data ? ` (${loaded.data.types[t]?.length ?? 0})` : ''}`,
        }))}
      />
      <div class="toolbar">
        <Filter name="q" label="Filter by name" placeholder="Name" />
      </div>
      <Show
        of={loaded}
        empty={({ types: all }) =>
          (all[tab] ?? []).length === 0 ? <Note title="Nothing of this kind was sent." /> : null
        }
      >
        {({ types: all }) => {
          const rows = (all[tab] ?? []).filter((r) => r.name.toLowerCase().includes(q));
          const shown = rows.find((r) => r.name === open);
          return (
            <>
              <Table
                caption={`Resources of type ${tab.toUpperCase()}`}
                rows={rows}
                id={(r) => r.name}
                order="name"
                selected={open}
                columns={[
                  {
                    id: 'name',
                    name: 'Name',
                    by: (r) => r.name,
                    show: (r) => (
                      <button
                        type="button"
                        class="link break mono"
                        aria-expanded={open === r.name}
                        onClick={() => set({ open: open === r.name ? '' : r.name })}
                      >
                        {r.name}
                      </button>
                    ),
                  },
                  {
                    id: 'state',
                    name: 'State',
                    by: (r) => r.refused,
                    show: (r) =>
                      r.refused ? (
                        <Sign status="fail" label={`refused: ${r.refused}`} />
                      ) : (
                        <Sign status="ok" label="accepted" />
                      ),
                  },
                  {
                    id: 'by',
                    name: 'Made by',
                    show: (r) =>
                      r.madeBy.map((m) => (
                        <div key={m.id}>
                          <RefLink resource={m} />
                        </div>
                      )),
                  },
                ]}
              />
              {shown && (
                <Card
                  title={shown.name}
                  wide
                  aside={<CopyMenu items={[{ name: 'JSON', text: JSON.stringify(shown.resource, null, 2) }]} />}
                >
                  <pre class="dump" tabIndex={0}>
                    {JSON.stringify(shown.resource, null, 2)}
                  </pre>
                </Card>
              )}
            </>
          );
        }}
      </Show>
    </>
  );
}
