/**
 * Build what pages load and integrators copy, `connect.js` and `connect-core.js` with their types, from the modules in
 * `daemon/upstash_helper/web/connect`. The output is committed, so that only changing the modules requires Node.
 *
 *     node build.js            write the files
 *     node build.js --check    write nothing; exit with 1 if a committed file is out of date
 */

import { execFileSync } from "node:child_process";
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { rollup } from "rollup";
import { dts } from "rollup-plugin-dts";
import { tidyDeclarations } from "./tidy_declarations.js";

const HERE = import.meta.dirname;
const WEB = path.resolve(HERE, "../../daemon/upstash_helper/web");
const SOURCES = path.join(WEB, "connect");
/** What is built from which module. `types` are exported by the declarations alone. */
const BUNDLES = [
  { entry: "core", name: "connect-core", types: ['export type { Databases } from "./client.js";'] },
  {
    entry: "index",
    name: "connect",
    types: [
      'export type { Databases } from "./client.js";',
      'export type { UpstashConnectEvents } from "./globals.js";',
    ],
  },
];
const GENERATED = "Generated from web/connect; do not edit. CONTRIBUTING.md says how to build it.";

const require = createRequire(import.meta.url);

/** @param {string} tool @param {string[]} args @param {string} [input] */
function run(tool, args, input) {
  return execFileSync(process.execPath, [tool, ...args], { cwd: HERE, input, encoding: "utf8" });
}

/** @param {string} text @param {string} name The extension decides how it is formatted. */
function format(text, name) {
  const biome = path.join(path.dirname(require.resolve("@biomejs/biome/package.json")), "bin/biome");
  return run(biome, ["format", `--stdin-file-path=${name}`], text);
}

/**
 * Return declarations that export as values only what the module exports: to Rollup, a class is always a value.
 *
 * @param {import("rollup").OutputChunk} declarations
 * @param {Set<string>} values
 */
function exportingTypes({ code }, values) {
  const all = [...code.matchAll(/^export (?:type )?\{([^}]*)\};\n?/gm)].flatMap(
    ([, names]) => names.match(/\w+/g) ?? [],
  );
  const [shown, types] = [all.filter((name) => values.has(name)), all.filter((name) => !values.has(name))];
  const body = code.replace(/^export (?:type )?\{[^}]*\};\n?/gm, "");
  return `${body}\nexport { ${shown.join(", ")} };\nexport type { ${types.join(", ")} };\n`;
}

/** Leave out the comments that import types: there is one module now. @param {string} code */
function withoutTypeImports(code) {
  return code.replace(/^\/\*\*\s[^/]*@import(?:(?!\*\/)[\s\S])*\*\/\n+/gm, "");
}

/** Return the comment that an entry begins with. @param {string} entry */
async function header(entry) {
  const source = await readFile(path.join(SOURCES, `${entry}.js`), "utf8");
  const [comment] = /^\/\*\*[\s\S]*?\*\/\n/.exec(source) ?? [];
  if (!comment) throw new Error(`${entry}.js does not begin with a comment`);
  return comment;
}

/** @param {import("rollup").InputOptions} input */
async function bundle(input) {
  const build = await rollup({
    ...input,
    onwarn: (warning) => {
      throw new Error(warning.message);
    },
  });
  const { output } = await build.generate({ format: "es" });
  await build.close();
  return output[0];
}

/** @param {string} declarations The folder with the declarations of each module. */
async function build(declarations) {
  /** @type {Map<string, string>} */
  const files = new Map();
  for (const { entry, name, types: more } of BUNDLES) {
    const module = await bundle({ input: path.join(SOURCES, `${entry}.js`) });
    const code = withoutTypeImports(module.code);
    files.set(`${name}.js`, format(`// ${GENERATED}\n${await header(entry)}\n${code}`, `${name}.js`));

    const input = path.join(declarations, `${name}.entry.d.ts`);
    await writeFile(input, [`export * from "./${entry}.js";`, ...more].join("\n"));
    const types = exportingTypes(await bundle({ input, plugins: [dts()] }), new Set(module.exports));
    const about = `/** The types of ${name}.js. For TypeScript, keep this file beside your copy of it. */`;
    files.set(`${name}.d.ts`, format(`// ${GENERATED}\n${about}\n\n${types}`, `${name}.d.ts`));
  }
  return files;
}

const declarations = await mkdtemp(path.join(tmpdir(), "upstash-helper-types-"));
try {
  run(require.resolve("typescript/bin/tsc"), ["--project", "tsconfig.connect.json", "--outDir", declarations]);
  await copyFile(path.join(SOURCES, "globals.d.ts"), path.join(declarations, "globals.d.ts"));
  for (const name of await readdir(declarations)) {
    const file = path.join(declarations, name);
    await writeFile(file, tidyDeclarations(await readFile(file, "utf8")));
  }
  for (const [name, text] of await build(declarations)) {
    const file = path.join(WEB, name);
    if (!process.argv.includes("--check")) {
      await writeFile(file, text);
    } else if (text !== (await readFile(file, "utf8").catch(() => ""))) {
      console.error(
        `${path.relative(process.cwd(), file)} is out of date. Run: npm --prefix tests/javascript run build`,
      );
      process.exitCode = 1;
    }
  }
} finally {
  await rm(declarations, { recursive: true });
}
