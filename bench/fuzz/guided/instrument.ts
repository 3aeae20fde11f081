/**
 * Edge counters for JavaScript as esbuild prints it: every outcome of a condition, every operand that may be skipped, every case and
 * every function gets a number and `__coverage[number]++`.
 *
 *   if (a && b) return c;            if ((a && (__coverage[0]++, b)) ? (__coverage[1]++, true) : (__coverage[2]++, false)) return c;
 *   x = a ? b : c;                   x = a ? (__coverage[3]++, b) : (__coverage[4]++, c);
 *   case 6:                          case 6: __coverage[5]++;
 *   find(a) {                        find(a) { __coverage[6]++;
 *
 * And what two numbers were that should have been equal: the fuzzer looks for the one in its packets and puts the other in its place.
 *
 *   a === b                          (__left = a) === __right(0, b)
 *
 * There is no syntax tree: tokens and matching brackets are enough, since esbuild's output has no types, always a semicolon and only
 * one way to print each thing. Text is only added, never moved; that the program still does the same is held against the plain one
 * with every case that is new (stage.ts).
 *
 * Not counted: what stands inside template strings.
 */
export interface Edge {
  /** Offset in the text that came in. */
  offset: number;
  what: string;
}

export interface Instrumented {
  code: string;
  edges: Edge[];
  comparisons: number;
  /** Whole numbers that stand in the code: what comparisons may be waiting for. */
  constants: number[];
}

interface Token {
  kind: 'name' | 'number' | 'string' | 'sign';
  text: string;
  start: number;
  end: number;
}

/** Places of the same offset: what closes an operand stands before what closes a condition. */
interface Insertion {
  offset: number;
  rank: number;
  text: string;
}

const SPACE = String.raw`\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/`;
const NAME = String.raw`[\p{L}_$#][\p{L}\p{N}_$]*`;
const NUMBER = String.raw`0[xX][\da-fA-F]+|\d[\d_]*(?:\.\d+)?(?:[eE][+\-]?\d+)?`;
const STRING = String.raw`"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'`;
/** Longest first; a question mark before a digit is never optional chaining. */
const SIGN = [
  String.raw`>>>=|\.\.\.|===|!==|>>>|<<=|>>=|\*\*=|&&=|\|\|=|\?\?=|=>|==|!=|<=|>=|&&|\|\||\?\?`,
  String.raw`\?\.(?!\d)|\+\+|--|\+=|-=|\*=|\/=|%=|&=|\|=|\^=|<<|>>|\*\*|[\s\S]`,
].join('|');
const TOKEN = new RegExp(
  `${SPACE}|(?<name>${NAME})|(?<number>${NUMBER})|(?<string>${STRING})|(?<sign>${SIGN})`,
  'uy',
);
const REGULAR_EXPRESSION = /\/(?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\\n])+\/[a-z]*/y;
const NO_FUNCTION = new Set(['if', 'for', 'while', 'switch', 'catch', 'with']);
const OPERAND_ENDS = new Set(['&&', '||', '??', '?', ':', ',', ';']);
const ALTERNATIVE_ENDS = new Set([':', ',', ';']);

/** Binds looser than a comparison, so that an operand of one ends there. */
const COMPARED_ENDS = new Set([
  ...['&&', '||', '??', '?', ':', ',', ';', '&', '|', '^', '===', '!==', '=>', '...'],
  ...[
    '=',
    '+=',
    '-=',
    '*=',
    '/=',
    '%=',
    '&=',
    '|=',
    '^=',
    '<<=',
    '>>=',
    '>>>=',
    '&&=',
    '||=',
    '??=',
  ],
]);
const COMPARED_WORDS = new Set(['return', 'case', 'throw', 'else', 'of', 'in', 'yield', 'await']);

/** Adds counters from number `first` on, and comparisons from number `firstComparison` on. */
export function instrument(source: string, first: number, firstComparison = 0): Instrumented {
  const tokens = tokensOf(source);
  const partner = pairsOf(tokens);
  const insertions: Insertion[] = [];
  const edges: Edge[] = [];

  const insert = (offset: number, text: string, rank = 1): void => {
    insertions.push({ offset, rank, text });
  };
  const count = (offset: number, what: string): string => {
    const line = source.slice(offset, offset + 60).split('\n')[0];
    edges.push({ offset, what: `${what} ${line.trim()}` });
    return `__coverage[${first + edges.length - 1}]++`;
  };
  /** Wraps tokens `from` … `to - 1`, an expression that may be skipped. */
  const operand = (from: number, to: number, what: string): void => {
    insert(tokens[from].start, `(${count(tokens[from].start, what)}, `);
    insert(tokens[to - 1].end, ')', 0);
  };
  /** The first token from `from` on, outside brackets, that ends an operand; or the bracket that closes around it. */
  const endOf = (from: number, ends: ReadonlySet<string>): number => {
    let ternaries = 0;
    for (let i = from; i < tokens.length; i++) {
      const { text, kind } = tokens[i];
      if (kind !== 'sign') continue;
      const other = partner[i];
      if (other > i) i = other;
      else if (other >= 0) return i;
      else if (text === ':' && ternaries > 0) ternaries--;
      else if (ends.has(text)) return i;
      else if (text === '?') ternaries++;
    }
    return tokens.length;
  };
  const condition = (from: number, to: number): void => {
    const { start } = tokens[from];
    insert(start, '(', -1);
    insert(
      tokens[to - 1].end,
      `) ? (${count(start, 'true:')}, true) : (${count(start, 'false:')}, false)`,
      2,
    );
  };

  let comparisons = 0;
  const comparison = (at: number): void => {
    let from = at;
    for (let i = at - 1; i >= 0; i--) {
      const { text, kind } = tokens[i];
      if (kind === 'name' && COMPARED_WORDS.has(text)) break;
      if (kind === 'sign') {
        const other = partner[i];
        if (other > i || text === '}' || COMPARED_ENDS.has(text)) break;
        if (other >= 0) i = other;
      }
      from = i;
    }
    const to = endOf(at + 1, COMPARED_ENDS);
    insert(tokens[from].start, '(__left = ');
    insert(tokens[at - 1].end, ')', 0);
    insert(tokens[at + 1].start, `__right(${firstComparison + comparisons++}, `);
    insert(tokens[to - 1].end, ')', 0);
  };

  for (let i = 0; i < tokens.length; i++) {
    const { kind, text, end } = tokens[i];
    const next = tokens[i + 1]?.text;
    const isProperty = tokens[i - 1]?.text === '.' || tokens[i - 1]?.text === '?.';
    if (kind === 'name' && !isProperty) {
      if ((text === 'if' || text === 'while') && next === '(') condition(i + 2, partner[i + 1]);
      else if (text === 'for' && next === '(') {
        const one = endOf(i + 2, new Set([';']));
        if (tokens[one].text !== ';') continue;
        const two = endOf(one + 1, new Set([';']));
        if (two > one + 1) condition(one + 1, two);
      } else if (text === 'case' || (text === 'default' && next === ':')) {
        const colon = endOf(i + 1, ALTERNATIVE_ENDS);
        insert(tokens[colon].end, ` ${count(tokens[i].start, '')};`);
      }
      continue;
    }
    if (kind !== 'sign') continue;
    if (text === '&&' || text === '||' || text === '??')
      operand(i + 1, endOf(i + 1, OPERAND_ENDS), text);
    else if (text === '===' || text === '!==') comparison(i);
    else if (text === '?') {
      const colon = endOf(i + 1, ALTERNATIVE_ENDS);
      operand(i + 1, colon, '?');
      operand(colon + 1, endOf(colon + 1, ALTERNATIVE_ENDS), ':');
    } else if (text === '{' && isFunctionBody(tokens, partner, i))
      insert(end, ` ${count(tokens[partner[i - 1]]?.start ?? end, 'function')};`);
  }
  return { code: apply(source, insertions), edges, comparisons, constants: constantsOf(tokens) };
}

/** True for the brace after `name(…)` or `=>`. */
function isFunctionBody(tokens: readonly Token[], partner: Int32Array, brace: number): boolean {
  const before = tokens[brace - 1]?.text;
  if (before === '=>') return true;
  if (before !== ')') return false;
  const head = tokens[partner[brace - 1] - 1];
  return head !== undefined && head.kind === 'name' && !NO_FUNCTION.has(head.text);
}

function apply(source: string, insertions: Insertion[]): string {
  const sorted = insertions.map((insertion, order) => ({ ...insertion, order }));
  sorted.sort((a, b) => a.offset - b.offset || a.rank - b.rank || a.order - b.order);
  let code = '';
  let at = 0;
  for (const { offset, text } of sorted) {
    code += source.slice(at, offset) + text;
    at = offset;
  }
  return code + source.slice(at);
}

function constantsOf(tokens: readonly Token[]): number[] {
  const values = new Set<number>();
  for (const { kind, text } of tokens)
    if (kind === 'number') values.add(Number(text.replaceAll('_', '')));
  return [...values].filter((value) => Number.isInteger(value) && value < 2 ** 32);
}

/** For each token that is a bracket the number of its partner, else -1. */
function pairsOf(tokens: readonly Token[]): Int32Array {
  const partner = new Int32Array(tokens.length).fill(-1);
  const open: number[] = [];
  tokens.forEach(({ kind, text }, i) => {
    if (kind !== 'sign') return;
    if ('([{'.includes(text)) open.push(i);
    else if (')]}'.includes(text)) {
      const from = open.pop();
      if (from === undefined) throw new Error(`a bracket too many at ${tokens[i].start}`);
      partner[i] = from;
      partner[from] = i;
    }
  });
  return partner;
}

function tokensOf(source: string): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < source.length; ) {
    const last = tokens[tokens.length - 1];
    if (source[at] === '`') {
      const end = templateEnd(source, at);
      tokens.push({ kind: 'string', text: '`', start: at, end });
      at = end;
      continue;
    }
    if (source[at] === '/' && mayBeginExpression(last)) {
      REGULAR_EXPRESSION.lastIndex = at;
      const found = REGULAR_EXPRESSION.exec(source);
      if (found !== null && !found[0].startsWith('//') && !found[0].startsWith('/*')) {
        tokens.push({ kind: 'string', text: '/', start: at, end: at + found[0].length });
        at += found[0].length;
        continue;
      }
    }
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(source);
    if (found === null) throw new Error(`no token at ${at}`);
    const end = at + found[0].length;
    const kinds = found.groups as Record<Token['kind'], string | undefined>;
    for (const kind of ['name', 'number', 'string', 'sign'] as const) {
      const text = kinds[kind];
      if (text !== undefined) tokens.push({ kind, text, start: at, end });
    }
    at = end;
  }
  return tokens;
}

/** True if a slash here begins a regular expression and does not divide. */
const mayBeginExpression = (last: Token | undefined): boolean =>
  last === undefined ||
  (last.kind === 'sign' ? !')]}'.includes(last.text) : last.text === 'return');

/** End of the template string that begins at `at`, with what is nested in it. */
function templateEnd(source: string, at: number): number {
  for (let i = at + 1; i < source.length; i++) {
    if (source[i] === '\\') i++;
    else if (source[i] === '`') return i + 1;
    else if (source[i] === '$' && source[i + 1] === '{') i = bracesEnd(source, i + 1);
  }
  throw new Error(`a template string at ${at} has no end`);
}

function bracesEnd(source: string, at: number): number {
  let depth = 0;
  for (let i = at; i < source.length; i++) {
    if (source[i] === '`') i = templateEnd(source, i) - 1;
    else if (source[i] === '{') depth++;
    else if (source[i] === '}' && --depth === 0) return i;
  }
  throw new Error(`a brace at ${at} has no end`);
}
