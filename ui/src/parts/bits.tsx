// Small things that many pages have.
import type { ComponentChildren } from 'preact';
import { option, set } from '../lib/router';

export function Title({
  children,
  sub,
  actions,
}: {
  children: ComponentChildren;
  sub?: ComponentChildren;
  actions?: ComponentChildren;
}) {
  return (
    <div class="title">
      <div>
        <h1>{children}</h1>
        {sub && <p class="sub">{sub}</p>}
      </div>
      {actions && <div class="actions">{actions}</div>}
    </div>
  );
}

export function Card({
  title,
  children,
  aside,
  wide,
}: {
  title: ComponentChildren;
  children: ComponentChildren;
  aside?: ComponentChildren;
  wide?: boolean;
}) {
  return (
    <section class={wide ? 'card card-wide' : 'card'}>
      <header>
        <h2>{title}</h2>
        {aside && <div class="aside">{aside}</div>}
      </header>
      {children}
    </section>
  );
}

/** A figure with what it is. */
export function Figure({
  name,
  value,
  note,
  tone,
  href,
}: {
  name: string;
  value: ComponentChildren;
  note?: ComponentChildren;
  tone?: string;
  href?: string;
}) {
  const inner = (
    <>
      <span class="figure-name">{name}</span>
      <span class={`figure-value${tone ? ` tone-${tone}` : ''}`}>{value}</span>
      {note && <span class="figure-note">{note}</span>}
    </>
  );
  return href ? (
    <a class="figure" href={href}>
      {inner}
    </a>
  ) : (
    <div class="figure">{inner}</div>
  );
}

/** One of a few, as buttons in a row. */
export function Choice({
  label,
  name,
  value,
  options,
  onPick,
}: {
  label: string;
  name: string;
  value: string;
  options: readonly { id: string; name: string; about?: string }[];
  onPick: (id: string) => void;
}) {
  return (
    <fieldset class="choice">
      <legend class="hidden-text">{label}</legend>
      {options.map((o) => (
        <label key={o.id} title={o.about} class={o.id === value ? 'on' : ''}>
          <input type="radio" name={name} value={o.id} checked={o.id === value} onChange={() => onPick(o.id)} />
          {o.name}
        </label>
      ))}
    </fieldset>
  );
}

/** Tabs that are links: which one is open is in the address. */
export function Tabs({
  tabs,
  current,
  href,
}: {
  tabs: { id: string; name: ComponentChildren }[];
  current: string;
  href: (id: string) => string;
}) {
  return (
    <nav class="tabs" aria-label="Parts of this page">
      {tabs.map((t) => (
        <a key={t.id} href={href(t.id)} aria-current={t.id === current ? 'page' : undefined}>
          {t.name}
        </a>
      ))}
    </nav>
  );
}

/** A text of the address that narrows what is shown. */
export function Filter({ name, label, placeholder }: { name: string; label: string; placeholder?: string }) {
  return (
    <label class="field">
      <span class="hidden-text">{label}</span>
      <input
        type="search"
        value={option(name)}
        placeholder={placeholder ?? label}
        onInput={(event) => set({ [name]: (event.target as HTMLInputElement).value })}
      />
    </label>
  );
}

export function Select({
  name,
  label,
  options,
  otherwise = '',
}: {
  name: string;
  label: string;
  options: { id: string; name: string }[];
  otherwise?: string;
}) {
  return (
    <label class="field select">
      <span>{label}</span>
      <select
        value={option(name, otherwise)}
        onChange={(event) => set({ [name]: (event.target as HTMLSelectElement).value })}
      >
        {options.map((o) => (
          <option key={o.id} value={o.id}>
            {o.name}
          </option>
        ))}
      </select>
    </label>
  );
}

/** A share as a bar with its words beside it. */
export function Share({ value, tone = 'flow', label }: { value: number; tone?: string; label: string }) {
  return (
    <span class="share">
      <span class="share-track" aria-hidden="true">
        <span class={`share-bar fill-${tone}`} style={{ width: `${Math.max(0, Math.min(1, value)) * 100}%` }} />
      </span>
      <span>{label}</span>
    </span>
  );
}
