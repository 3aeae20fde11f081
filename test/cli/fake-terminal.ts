/** A terminal that remembers, and verbs that remember how they were called. */
import type { Verbs } from '../../cli/program.ts';
import type { Terminal } from '../../cli/terminal.ts';

export class FakeTerminal implements Terminal {
  out = '';
  words = '';
  columns: number;
  rows: number;
  colour = false;

  /** Without a size it is a pipe. */
  constructor(columns = 0, rows = 0) {
    this.columns = columns;
    this.rows = rows;
  }

  write(text: string): void {
    this.out += text;
  }

  say(text: string): void {
    this.words += text + '\n';
  }

  endOnInterrupt(): void {}
}

export class FakeVerbs implements Verbs {
  readonly calls: unknown[] = [];
  exitCode = 0;

  private note = (...call: unknown[]): Promise<number> => {
    this.calls.push(call);
    return Promise.resolve(this.exitCode);
  };

  run: Verbs['run'] = (options) => this.note('run', options);
  br: Verbs['br'] = (options) => this.note('br', options);
  check: Verbs['check'] = (file, options) => this.note('check', file, options);
  mape: Verbs['mape'] = (options) => this.note('mape', options);
  doctor: Verbs['doctor'] = (options) => this.note('doctor', options);
  demo: Verbs['demo'] = (options) => this.note('demo', options);
  lab: Verbs['lab'] = (options) => this.note('lab', options);
  sim: Verbs['sim'] = (options) => this.note('sim', options);
  bench: Verbs['bench'] = (options) => this.note('bench', options);
}
