// Configuration: what there is, what is wrong with it, whether it is in force; and changing it with a look at what that does first.
import { Edit } from '../config/edit';
import { InForce } from '../config/force';
import { Fresh } from '../config/fresh';
import { All } from '../config/list';
import { Remove } from '../config/remove';
import { type Detail, force, pathOf } from '../config/types';
import { Versions } from '../config/versions';
import { link, option, place } from '../lib/router';
import { useAsk } from '../lib/use';
import { Tabs, Title } from '../parts/bits';
import { CopyMenu } from '../parts/copy';
import { Show } from '../parts/state';

export function ConfigPage() {
  const id = place.value.parts.slice(1);
  if (id[0] === 'new') return <Fresh />;
  return id.length > 0 ? <One id={id.join('/')} /> : <All />;
}

function One({ id }: { id: string }) {
  const path = pathOf(id);
  const loaded = useAsk<Detail>(path, 'configuration');
  const tab = option('tab', 'yaml');
  const [kind = '', namespace = '', name = ''] = id.split('/');
  return (
    <>
      <Title
        sub={`${kind.split('.')[0]}${namespace === '-' ? '' : ` in ${namespace}`}`}
        actions={
          <>
            {loaded.data && <Remove resource={loaded.data} />}
            <CopyMenu
              items={[
                {
                  name: 'Command',
                  text: `tulle get ${kind.split('.')[0]!.toLowerCase()} ${name}${namespace === '-' ? '' : ` -n ${namespace}`} -o yaml`,
                },
                { name: 'YAML', text: loaded.data?.yaml ?? '' },
              ]}
            />
          </>
        }
      >
        {name}
      </Title>
      <Tabs
        current={tab}
        href={(t) => link(['config', ...id.split('/')], { tab: t === 'yaml' ? '' : t })}
        tabs={[
          { id: 'yaml', name: 'YAML' },
          { id: 'force', name: loaded.data ? `In force: ${force(loaded.data.programmed)}` : 'In force' },
          { id: 'history', name: `History${loaded.data ? ` (${loaded.data.versions.length})` : ''}` },
        ]}
      />
      <Show of={loaded}>
        {(r) => (
          <>
            {tab === 'yaml' && <Edit key={id} resource={r} path={path} again={loaded.again} />}
            {tab === 'force' && <InForce r={r} />}
            {tab === 'history' && <Versions r={r} path={path} again={loaded.again} />}
          </>
        )}
      </Show>
    </>
  );
}
