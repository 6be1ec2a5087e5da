// Light, dark, or as the system is.
import { effect, signal } from '@preact/signals';

export type Theme = 'auto' | 'light' | 'dark';
const KEY = 'tulle.theme';

function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : 'auto';
  } catch {
    return 'auto';
  }
}

export const theme = signal<Theme>(stored());
const dark = matchMedia('(prefers-color-scheme: dark)');
/** Grows when colours have changed: who draws on a canvas reads them again. */
export const palette = signal(0);

effect(() => {
  document.documentElement.dataset.theme = theme.value === 'auto' ? (dark.matches ? 'dark' : 'light') : theme.value;
  try {
    if (theme.value === 'auto') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme.value);
  } catch {
    // Private windows keep nothing; the choice holds for this page.
  }
  palette.value = palette.peek() + 1;
});

dark.addEventListener('change', () => {
  if (theme.value !== 'auto') return;
  document.documentElement.dataset.theme = dark.matches ? 'dark' : 'light';
  palette.value += 1;
});

export const calm = matchMedia('(prefers-reduced-motion: reduce)');

export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
