// Packs what Vite built (build/) for embedding: each file compressed, and a table of them in Rust.
//   node scripts/pack.mjs          writes dist/
//   node scripts/pack.mjs --check  fails if dist/ is not what build/ makes, or the first load is too heavy
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { brotliCompressSync, brotliDecompressSync, constants, gunzipSync, gzipSync } from 'node:zlib';

const root = new URL('..', import.meta.url).pathname;
const [build, dist] = [join(root, 'build'), join(root, 'dist')];
/** What a first visit may load, in bytes after gzip. */
const BUDGET = 260 * 1024;
const TYPES = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
  txt: 'text/plain; charset=utf-8',
};

function walk(folder) {
  return readdirSync(folder)
    .sort()
    .flatMap((name) => {
      const path = join(folder, name);
      return statSync(path).isDirectory() ? walk(path) : [path];
    });
}

function entry(path) {
  const name = relative(build, path);
  const type = TYPES[name.split('.').pop()];
  if (!type) throw new Error(`${name}: no content type is known for it; add one to scripts/pack.mjs`);
  const content = readFileSync(path);
  const etag = createHash('sha256').update(content).digest('hex').slice(0, 16);
  return { name, type, content, etag, gzip: gzipSync(content, { level: 9 }) };
}

function table(files) {
  const lines = files.map(
    (f) => `    File {
        path: "/${f.name}",
        content_type: "${f.type}",
        etag: "\\"${f.etag}\\"",
        immutable: ${f.name.startsWith('assets/')},
        gzip: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/${f.name}.gz")),
        brotli: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/dist/${f.name}.br")),
    },
`,
  );
  return `// Made by ui/scripts/pack.mjs; not edited by hand.\nconst FILES: &[File] = &[\n${lines.join('')}];\n`;
}

/** What the page loads at once: itself and what it names. */
function initial(files) {
  const page = files.find((f) => f.name === 'index.html').content.toString();
  return files.filter((f) => f.name === 'index.html' || page.includes(`./${f.name}"`));
}

/** What was packed is compared, not the packed bytes: these may differ between versions of zlib. */
function holds(path, unpack, content) {
  try {
    return unpack(readFileSync(path)).equals(content);
  } catch {
    return false;
  }
}

function check(files) {
  const problems = [];
  const expected = new Set(['files.rs', ...files.flatMap((f) => [`${f.name}.gz`, `${f.name}.br`])]);
  for (const path of walk(dist)) {
    if (!expected.delete(relative(dist, path))) problems.push(`${relative(dist, path)} is not made by the sources`);
  }
  for (const name of expected) problems.push(`${name} is missing`);
  if (problems.length === 0) {
    if (readFileSync(join(dist, 'files.rs'), 'utf8') !== table(files)) problems.push('files.rs differs');
    for (const f of files) {
      for (const [end, unpack] of [
        ['gz', gunzipSync],
        ['br', brotliDecompressSync],
      ]) {
        if (!holds(join(dist, `${f.name}.${end}`), unpack, f.content)) problems.push(`${f.name}.${end} differs`);
      }
    }
  }
  if (problems.length > 0) {
    console.error(`ui/dist is not what the sources make; run npm run build and commit it:\n  ${problems.join('\n  ')}`);
    process.exitCode = 1;
  }
}

function write(files) {
  rmSync(dist, { recursive: true, force: true });
  for (const f of files) {
    const path = join(dist, f.name);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(`${path}.gz`, f.gzip);
    const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: f.content.length };
    writeFileSync(`${path}.br`, brotliCompressSync(f.content, { params }));
  }
  writeFileSync(join(dist, 'files.rs'), table(files));
}

const files = walk(build).map(entry);
if (process.argv.includes('--check')) check(files);
else write(files);
const size = initial(files).reduce((sum, f) => sum + f.gzip.length, 0);
const all = files.reduce((sum, f) => sum + f.gzip.length, 0);
console.log(
  `first load ${(size / 1024).toFixed(1)} KB of ${BUDGET / 1024} KB, all ${(all / 1024).toFixed(1)} KB (gzip)`,
);
if (size > BUDGET) {
  console.error('the first load is heavier than allowed');
  process.exitCode = 1;
}
