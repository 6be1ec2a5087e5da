// The licences of what is embedded in the pages, taken from the packages themselves.
//   node scripts/notices.mjs          writes public/third-party.txt, which is served, and docs/third-party-ui.txt
//   node scripts/notices.mjs --check  fails if these are not what the packages say
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = new URL('..', import.meta.url).pathname;
const OUT = [join(root, 'public', 'third-party.txt'), join(root, '..', 'docs', 'third-party-ui.txt')];
/** Licences that may be embedded; another one is looked at by a person first. */
const ALLOWED = new Set(['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', '0BSD']);
const RULE = '-'.repeat(80);

/** What ends up in the pages: everything that is not only for development. */
function packages() {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  return Object.entries(lock.packages)
    .filter(([path, { dev, optional }]) => path !== '' && !dev && !optional)
    .map(([path]) => path)
    .sort();
}

function notice(path) {
  const folder = join(root, path);
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  if (!ALLOWED.has(license))
    throw new Error(`${name} ${version}: licence ${license} is not one of ${[...ALLOWED].join(', ')}`);
  const file = readdirSync(folder).find((f) => /^(licen[cs]e|copying)(\.|$)/i.test(f));
  if (!file) throw new Error(`${name} ${version}: it brings no licence text`);
  const text = readFileSync(join(folder, file), 'utf8').replaceAll('\r\n', '\n').trim();
  return `${RULE}\n${name} ${version} (${license})\n${RULE}\n\n${text}\n`;
}

const head = `The pages of Tulle's dashboard contain these libraries. Made by ui/scripts/notices.mjs from the packages themselves.\n\n`;
const text = head + packages().map(notice).join('\n');
for (const path of OUT) {
  if (!process.argv.includes('--check')) writeFileSync(path, text);
  else if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
    console.error(`${path} is not what the packages say; run npm run build and commit it`);
    process.exitCode = 1;
  }
}
