// Builds everything into dist/ (or the folder given as argument): three pages and the one-file widget. Each page keeps its assets below its own address.
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, process.argv[2] ?? 'dist');

/** What all four builds share. */
const common = {
  configFile: false,
  logLevel: 'warn',
  publicDir: false,
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
};
const output = { target: 'es2022', emptyOutDir: false, reportCompressedSize: false, sourcemap: false, license: { fileName: 'licenses.md' } };

await rm(dist, { recursive: true, force: true });

for (const page of ['inbox', 'shop', 'phone']) {
  await build({
    ...common,
    root: join(here, 'src', page),
    base: `/${page}/`,
    build: {
      ...output,
      outDir: join(dist, page),
      assetsInlineLimit: 0, // a data: URL would need a wider Content-Security-Policy
      modulePreload: { polyfill: false },
    },
  });
}

await build({
  ...common,
  root: join(here, 'src', 'widget'),
  define: { 'process.env.NODE_ENV': '"production"' },
  build: {
    ...output,
    outDir: dist,
    lib: { entry: 'main.ts', formats: ['iife'], name: 'SportelloWidget', fileName: () => 'widget.js' },
  },
});
