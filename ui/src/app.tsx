// The frame around all pages: where one can go, what time is shown, whether it is live.
import { Component, type ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { GraphPage } from './graph/page';
import { logout, session } from './lib/api';
import { clock } from './lib/format';
import { connection, paused, WINDOWS } from './lib/live';
import { go, link, option, page, place, set } from './lib/router';
import { type Theme, theme } from './lib/theme';
import { ConfigPage } from './pages/config';
import { ControlPage } from './pages/control';
import { HomePage } from './pages/home';
import { LoginPage } from './pages/login';
import { RequestsPage } from './pages/requests';
import { RolloutsPage } from './pages/rollouts';
import { SecurityPage } from './pages/security';
import { ServicePage } from './pages/service';
import { ServicesPage } from './pages/services';
import { TracesPage } from './pages/traces';
import { WorkloadPage } from './pages/workload';
import { Icon } from './parts/icon';
import { Keys, showKeys } from './parts/keys';
import { Note } from './parts/state';

interface Entry {
  id: string;
  name: string;
  /** Pages that belong to it. */
  also?: string[];
  show: () => ComponentChildren;
}

const PAGES: Entry[] = [
  { id: 'home', name: 'Health', show: () => <HomePage /> },
  { id: 'graph', name: 'Graph', show: () => <GraphPage /> },
  { id: 'services', name: 'Services', also: ['service', 'workload'], show: () => <ServicesPage /> },
  { id: 'requests', name: 'Requests', show: () => <RequestsPage /> },
  { id: 'traces', name: 'Traces', show: () => <TracesPage /> },
  { id: 'config', name: 'Configuration', show: () => <ConfigPage /> },
  { id: 'security', name: 'Security', show: () => <SecurityPage /> },
  { id: 'rollouts', name: 'Rollouts', show: () => <RolloutsPage /> },
  { id: 'control', name: 'Proxies', show: () => <ControlPage /> },
];

const HIDDEN: Record<string, () => ComponentChildren> = {
  login: () => <LoginPage />,
  service: () => <ServicePage />,
  workload: () => <WorkloadPage />,
};

export function App() {
  const current = page.value;
  const main = useRef<HTMLElement>(null);
  const path = place.value.parts.join('/');
  const first = useRef(true);
  const entry = PAGES.find((p) => p.id === current || p.also?.includes(current));
  // Another page begins at its top, for the reader's voice too
  useEffect(() => {
    document.title = `${entry?.name ?? 'Log in'} · Tulle`;
    if (first.current) first.current = false;
    else {
      main.current?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
  }, [path]);
  useEffect(keys, []);
  return (
    <>
      <Nav current={entry?.id ?? ''} toContent={() => main.current?.focus()} />
      <div class="right">
        <Bar />
        <main ref={main} tabIndex={-1} class={current === 'graph' ? 'full' : ''}>
          <Guard key={path} at={location.hash}>
            {HIDDEN[current]?.() ?? PAGES.find((p) => p.id === current)?.show() ?? (
              <Note title="There is no such page.">
                <a href="#/">To the health of the mesh</a>
              </Note>
            )}
          </Guard>
        </main>
      </div>
      <Keys />
    </>
  );
}

/** One broken page is told, and leaves the others. */
class Guard extends Component<{ at: string; children: ComponentChildren }, { error: string }> {
  override state = { error: '' };
  static getDerivedStateFromError(error: unknown) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
  override componentDidUpdate(before: { at: string }) {
    if (this.state.error && before.at !== this.props.at) this.setState({ error: '' });
  }
  override componentDidCatch(error: unknown) {
    console.error(error);
  }
  render() {
    if (!this.state.error) return this.props.children;
    return (
      <div class="note note-bad" role="alert">
        <p class="note-title">This page could not be drawn.</p>
        <p class="note-text">{this.state.error}</p>
        <div class="note-action">
          <button type="button" class="button" onClick={() => location.reload()}>
            Reload
          </button>
        </div>
      </div>
    );
  }
}

function Nav({ current, toContent }: { current: string; toContent: () => void }) {
  return (
    <header class="nav">
      <button type="button" class="skip" onClick={toContent}>
        To the content
      </button>
      <a class="brand" href={link([])}>
        <Icon name="brand" />
        <span>Tulle</span>
      </a>
      <nav aria-label="Pages">
        {PAGES.map((p) => (
          <a key={p.id} href={link([p.id])} aria-current={p.id === current ? 'page' : undefined} title={p.name}>
            <Icon name={p.id} />
            <span>{p.name}</span>
          </a>
        ))}
      </nav>
      <div class="about">
        <button type="button" class="link" onClick={showKeys}>
          Keys
        </button>
        <a href="./third-party.txt" target="_blank" rel="noreferrer">
          Licences
        </a>
      </div>
      <Who />
    </header>
  );
}

function Who() {
  const who = session.value;
  if (!who) return null;
  return (
    <div class="who">
      <span>{who.mode === 'session' ? who.user : who.mode === 'none' ? 'not logged in' : 'reading only'}</span>
      {who.mode === 'session' ? (
        <button type="button" class="link" onClick={() => logout().catch(() => undefined)}>
          Log out
        </button>
      ) : (
        <a href="#/login">Log in</a>
      )}
    </div>
  );
}

function Bar() {
  const at = option('at');
  const link_ = connection.value;
  return (
    <div class="top" role="region" aria-label="Time and colours">
      <label class="field select">
        <span>Window</span>
        <select
          value={option('window', '1m')}
          onChange={(e) =>
            set({ window: (e.target as HTMLSelectElement).value === '1m' ? '' : (e.target as HTMLSelectElement).value })
          }
        >
          {WINDOWS.map((w) => (
            <option key={w} value={w}>
              {w}
            </option>
          ))}
        </select>
      </label>
      {at ? (
        <span class="live past" role="status">
          as of {clock(Number(at))}
          <button type="button" class="link" onClick={() => set({ at: '' })}>
            to now
          </button>
        </span>
      ) : (
        <button
          type="button"
          class={`live ${paused.value ? 'off' : link_}`}
          aria-pressed={paused.value}
          onClick={() => {
            paused.value = !paused.value;
          }}
          title={paused.value ? 'Follow again' : 'Hold still'}
        >
          <i aria-hidden="true" />
          {paused.value ? 'Paused' : link_ === 'events' ? 'Live' : link_ === 'polling' ? 'Every 5 s' : 'Connecting'}
        </button>
      )}
      <span class="grow" />
      <label class="field select">
        <span class="hidden-text">Colours</span>
        <select
          value={theme.value}
          onChange={(e) => {
            theme.value = (e.target as HTMLSelectElement).value as Theme;
          }}
        >
          <option value="auto">Auto</option>
          <option value="light">Light</option>
          <option value="dark">Dark</option>
        </select>
      </label>
    </div>
  );
}

const GO: Record<string, string> = {
  h: 'home',
  g: 'graph',
  s: 'services',
  r: 'requests',
  t: 'traces',
  c: 'config',
  e: 'security',
  o: 'rollouts',
  p: 'control',
};

/** `g` and a letter goes to a page, `/` to what can be searched. */
function keys(): () => void {
  let waits = false;
  let timer = 0;
  const press = (event: KeyboardEvent) => {
    // Inside of the editor's shadow root it is not the event's target that is typed into.
    const target = (event.composedPath()[0] ?? event.target) as HTMLElement;
    if (
      event.ctrlKey ||
      event.metaKey ||
      event.altKey ||
      /^(input|textarea|select)$/i.test(target.tagName) ||
      target.isContentEditable
    )
      return;
    if (waits) {
      waits = false;
      clearTimeout(timer);
      const to = GO[event.key];
      if (to) {
        event.preventDefault();
        go(link([to]));
      }
      return;
    }
    if (event.key === 'g') {
      waits = true;
      clearTimeout(timer);
      timer = window.setTimeout(() => {
        waits = false;
      }, 1200);
    }
    if (event.key === '?') showKeys();
    if (event.key === '/') {
      const field = document.querySelector<HTMLInputElement>('main input[type=search]');
      if (field) {
        event.preventDefault();
        field.focus();
      }
    }
    if (event.key === 'Escape' && option('sel')) set({ sel: '' });
  };
  addEventListener('keydown', press);
  return () => removeEventListener('keydown', press);
}
