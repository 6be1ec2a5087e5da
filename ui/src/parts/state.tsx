// Never an empty screen without the reason.
import type { ComponentChildren } from 'preact';
import type { Problem } from '../lib/api';
import { span } from '../lib/format';
import type { Loaded } from '../lib/use';

export function Note({
  title,
  children,
  action,
}: {
  title: string;
  children?: ComponentChildren;
  action?: ComponentChildren;
}) {
  return (
    <div class="note">
      <p class="note-title">{title}</p>
      {children && <div class="note-text">{children}</div>}
      {action && <div class="note-action">{action}</div>}
    </div>
  );
}

export function Wrong({ problem, again }: { problem: Problem; again?: (() => void) | undefined }) {
  const login = problem.status === 401;
  return (
    <div class="note note-bad" role="alert">
      <p class="note-title">{login ? 'You are not logged in.' : problem.message}</p>
      {login ? <p class="note-text">{problem.message}</p> : problem.fix && <p class="note-text">{problem.fix}</p>}
      <div class="note-action">
        {login ? (
          <a class="button primary" href="#/login">
            Log in
          </a>
        ) : (
          again && (
            <button type="button" class="button" onClick={again}>
              Try again
            </button>
          )
        )}
      </div>
    </div>
  );
}

/** Shows data once it is there; says what is missing before, and that it is old when no more comes. */
export function Show<T>(props: {
  of: Loaded<T>;
  children: (data: T) => ComponentChildren;
  /** Why there may be nothing, if `children` would be empty. */
  empty?: (data: T) => ComponentChildren | null;
}) {
  const { data, problem, at, again } = props.of;
  if (data === undefined) {
    if (problem) return <Wrong problem={problem} again={again} />;
    return (
      <div class="loading" role="status">
        <span class="bar" />
        <span class="bar" />
        <span class="bar" />
        <span class="hidden-text">Loading</span>
      </div>
    );
  }
  const nothing = props.empty?.(data);
  return (
    <>
      {problem && (
        <div class="stale" role="status">
          <strong>Old figures.</strong> The last answer came {span((Date.now() - at) / 1000)} ago. {problem.message}{' '}
          <button type="button" class="link" onClick={again}>
            Try again
          </button>
        </div>
      )}
      {nothing || props.children(data)}
    </>
  );
}
