/**
 * Remove from generated declarations what readers do not need: members that are marked `@internal` (TypeScript's
 * `stripInternal` has no effect for JavaScript), and JSDoc that repeats the types next to it.
 */

const COMMENT = /^([ \t]*)\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\n/gm;
const INTERNAL = /^[ \t]*\/\*\*(?:(?!\*\/)[\s\S])*@internal(?:(?!\*\/)[\s\S])*\*\/\n[^\n]*;\n/gm;
/** A comment without a declaration: that of a module, or of a type that was inlined. */
const DETACHED = /^[ \t]*\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n(?=\n|[ \t]*\/\*\*)/gm;
/** Tags that matter only to the compiler. */
const FOR_THE_COMPILER = new Set(["type", "template", "private", "readonly", "import", "typedef", "property"]);

/** @param {string} text @returns {string} */
export function tidyDeclarations(text) {
  return text
    .replace(INTERNAL, "")
    .replace(COMMENT, (_comment, indent, body) => tidied(indent, body))
    .replace(DETACHED, "");
}

/**
 * @param {string} indent
 * @param {string} body
 * @returns {string} The comment without what the types say, or nothing.
 */
function tidied(indent, body) {
  const text = `\n${body.replace(/^[ \t]*\* ?/gm, "").trim()}`;
  const [prose, ...tags] = text.split(/[ \t\n]+(?=@[a-z]+\b)/);
  const lines = [prose.trim(), ...tags.map(tag).filter(Boolean)].filter(Boolean).join("\n").split("\n");
  if (lines.length === 1) return lines[0] ? `${indent}/** ${lines[0]} */\n` : "";
  return `${indent}/**\n${lines.map((line) => `${indent} * ${line}`.trimEnd()).join("\n")}\n${indent} */\n`;
}

/** @param {string} text A tag, such as `@param {string} [url] Where the helper is.` */
function tag(text) {
  const name = /^@([a-z]+)/.exec(text)?.[1] ?? "";
  if (FOR_THE_COMPILER.has(name)) return "";
  const rest = withoutType(text.slice(name.length + 1).trim());
  if (name === "throws") return text;
  if (name !== "param") return rest && `@${name} ${rest}`;
  const [, parameter, about] = /^\[?(\w+)\]?\s*([\s\S]*)$/.exec(rest) ?? [];
  return about ? `@param ${parameter} ${about}` : "";
}

/** @param {string} text */
function withoutType(text) {
  if (!text.startsWith("{")) return text;
  let depth = 0;
  for (const [index, character] of [...text].entries()) {
    if (character === "{") depth += 1;
    else if (character === "}") depth -= 1;
    if (depth === 0) return text.slice(index + 1).trim();
  }
  return text;
}
