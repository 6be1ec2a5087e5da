// For writes, and for reading where that is not open to all.
import { useState } from 'preact/hooks';
import { Failed, login, logout, session } from '../lib/api';
import { go } from '../lib/router';
import { Title } from '../parts/bits';
import { Command } from '../parts/copy';
import { Note } from '../parts/state';

export function LoginPage() {
  const [token, put] = useState('');
  const [wrong, fail] = useState(() => {
    const failed = sessionStorage.getItem('tulle.login') === 'failed';
    sessionStorage.removeItem('tulle.login');
    return failed ? 'The token of that link is wrong, old or was used. Get a new one.' : '';
  });
  const [busy, work] = useState(false);
  const who = session.value;
  const submit = async (event: Event) => {
    event.preventDefault();
    work(true);
    try {
      // Whoever pastes the whole link means the token in it.
      await login(token.includes('token=') ? (token.split('token=')[1] ?? '') : token.trim());
      go('#/');
    } catch (error) {
      fail(error instanceof Failed ? `${error.problem.message} ${error.problem.fix ?? ''}` : String(error));
    } finally {
      work(false);
    }
  };
  if (who?.mode === 'session') {
    return (
      <>
        <Title>Log in</Title>
        <Note
          title={`You are logged in as ${who.user}.`}
          action={
            <button type="button" class="button" onClick={() => logout().catch(() => undefined)}>
              Log out
            </button>
          }
        >
          {who.readOnly ? 'This dashboard is for reading only.' : 'You may change the configuration.'}
        </Note>
      </>
    );
  }
  return (
    <>
      <Title sub="Reading may be open to all; changing anything needs a token.">Log in</Title>
      <form class="card login" onSubmit={submit}>
        <p>
          Get a link that works once: <Command text={who?.loginCommand ?? 'tulle dashboard'} />
        </p>
        <label class="login-field">
          <span>Token, or the whole link</span>
          <input
            type="password"
            autocomplete="off"
            required
            value={token}
            onInput={(e) => put((e.target as HTMLInputElement).value)}
            aria-describedby={wrong ? 'login-wrong' : undefined}
          />
        </label>
        {wrong && (
          <p id="login-wrong" role="alert" class="tone-bad">
            {wrong}
          </p>
        )}
        <button type="submit" class="button primary" disabled={busy}>
          Log in
        </button>
      </form>
    </>
  );
}
