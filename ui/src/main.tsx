import { render } from 'preact';
import { App } from './app';
import { findSession, login } from './lib/api';
import { watchChanges } from './lib/changes';
import { start } from './lib/live';
import { listen } from './lib/router';
import './lib/theme';
import './style/index.css';

/** The link that the command prints ends in `#token=…`: it is used once, and leaves the address at once. */
async function enter(): Promise<void> {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token) {
    history.replaceState(null, '', `${new URL('./', document.baseURI).pathname}#/login`);
    await login(token).then(
      () => history.replaceState(null, '', '#/'),
      () => sessionStorage.setItem('tulle.login', 'failed'),
    );
    dispatchEvent(new HashChangeEvent('hashchange'));
  }
  await findSession().catch(() => undefined);
}

listen();
enter().finally(() => {
  start();
  watchChanges();
  render(<App />, document.getElementById('app')!);
});
