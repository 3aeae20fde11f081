/**
 * From "this key is wrong" to a place in the file that a person can look at.
 *
 *   portfold.toml:14:10: wan[0].prefix: 2001:db8::/56 is outside every rule of v6plus
 *      14 | prefix = "2001:db8::/56"
 *         |          ^
 *      the rules of v6plus lie in 240b:10::/30, 240b:250::/30
 *
 * Places come from a second parser that keeps them; it runs only when something is wrong. A key
 * that is not in the file (a missing one) is shown at the nearest table that should hold it.
 */
import { type AST, parseTOML } from 'toml-eslint-parser';
import type { ConfigProblem } from './errors.ts';

/** What is wrong with a value, and what would be right. */
export interface Complaint {
  what: string;
  hint: string;
}

export type KeyPath = readonly (string | number)[];

/** A problem before its place is known. */
export interface Finding extends Complaint {
  code: string;
  path: KeyPath;
  /** Point at the key itself rather than at its value. */
  atKey?: boolean;
}

interface Place {
  line: number;
  column: number;
}

/** Places of every key and value of a TOML text. */
interface Places {
  keys: Map<string, Place>;
  values: Map<string, Place>;
}

/** ["wan", 0, "prefix"] → "wan[0].prefix". */
export function formatPath(path: KeyPath): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else {
      const name = /^[\w-]+$/.test(part) ? part : JSON.stringify(part);
      text += text === '' ? name : `.${name}`;
    }
  }
  return text;
}

/** Gives every finding its place, in the order of the file. */
export function locate(source: string, findings: readonly Finding[]): ConfigProblem[] {
  const places = readPlaces(source);
  const problems = findings.map(({ code, path, what, hint, atKey }) => {
    const { line, column } = placeOf(places, path, atKey === true);
    return { code, line, column, key: formatPath(path), what, hint };
  });
  return problems.sort((a, b) => a.line - b.line || a.column - b.column);
}

/** All problems of a file as one text. */
export function formatProblems(
  file: string,
  source: string,
  problems: readonly ConfigProblem[],
): string {
  const lines = source.split(/\r?\n/);
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  const blocks = problems.map((problem) => formatProblem(file, lines, problem));
  return [`${file} has ${count}`, ...blocks].join('\n\n');
}

function formatProblem(file: string, lines: string[], problem: ConfigProblem): string {
  const { line, column, key, what, hint } = problem;
  const subject = key === '' ? what : `${key}: ${what}`;
  const block = [`${file}:${line}:${column}: ${subject}`];
  const text = lines[line - 1] ?? '';
  if (text.trim() !== '') {
    const number = String(line).padStart(5);
    // Tabs stay tabs, so that the caret stands below its character however wide they are shown.
    const indent = text.slice(0, column - 1).replace(/[^\t]/g, ' ');
    block.push(`${number} | ${text}`, `${' '.repeat(number.length)} | ${indent}^`);
  }
  if (hint !== '') block.push(`  ${hint}`);
  return block.join('\n');
}

/** The place of a path, or of the nearest thing above it that the file has. */
function placeOf(places: Places, path: KeyPath, atKey: boolean): Place {
  const own = keyOf(path);
  const found = (atKey ? places.keys.get(own) : undefined) ?? places.values.get(own);
  if (found !== undefined) return found;
  if (path.length === 0) return { line: 1, column: 1 };
  return placeOf(places, path.slice(0, -1), true);
}

const keyOf = (path: KeyPath): string => JSON.stringify(path);

function readPlaces(source: string): Places {
  const places: Places = { keys: new Map(), values: new Map() };
  try {
    const [top] = parseTOML(source, { tomlVersion: 'latest' }).body;
    for (const node of top.body) {
      if (node.type === 'TOMLTable') {
        remember(places, node.resolvedKey, node, node);
        for (const pair of node.body) rememberPair(places, node.resolvedKey, pair);
      } else {
        rememberPair(places, [], node);
      }
    }
  } catch {
    // The reader of values accepted the file; without places the problems are shown at line 1.
  }
  return places;
}

function rememberPair(places: Places, base: KeyPath, pair: AST.TOMLKeyValue): void {
  const names = pair.key.keys.map((key) => (key.type === 'TOMLBare' ? key.name : key.value));
  for (let n = 1; n <= names.length; n++) {
    const whole = n === names.length;
    remember(places, [...base, ...names.slice(0, n)], pair.key, whole ? pair.value : pair.key);
  }
  rememberInside(places, [...base, ...names], pair.value);
}

function rememberInside(places: Places, path: KeyPath, value: AST.TOMLContentNode): void {
  if (value.type === 'TOMLArray') {
    value.elements.forEach((element, n) => {
      remember(places, [...path, n], element, element);
      rememberInside(places, [...path, n], element);
    });
  } else if (value.type === 'TOMLInlineTable') {
    for (const pair of value.body) rememberPair(places, path, pair);
  }
}

/** The first mention wins: a dotted key names its tables again with each use. */
function remember(places: Places, path: KeyPath, key: AST.TOMLNode, value: AST.TOMLNode): void {
  const id = keyOf(path);
  if (!places.keys.has(id)) places.keys.set(id, placeOfNode(key));
  if (!places.values.has(id)) places.values.set(id, placeOfNode(value));
}

const placeOfNode = (node: AST.TOMLNode): Place => ({
  line: node.loc.start.line,
  column: node.loc.start.column + 1,
});
