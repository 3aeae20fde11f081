// Mocha's spec reporter, which also leaves its totals in the file that PORTFOLD_TEST_TOTALS names,
// for scripts/test.js.
import { writeFileSync } from 'node:fs';
import mocha from 'mocha';

export default class TotalsReporter extends mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.once('end', () => {
      const { passes, failures, pending } = this.stats;
      const file = process.env.PORTFOLD_TEST_TOTALS;
      if (file) writeFileSync(file, JSON.stringify({ passes, failures, pending }));
    });
  }
}
