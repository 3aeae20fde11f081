/** What an incident prints, and when it counts as survived. */
import assert from 'node:assert/strict';
import { type Incident, incidentText, isSurvived } from '../../../lab/incidents/report.ts';

const INCIDENT: Incident = {
  name: 'flow',
  about: 'A host sends.',
  systems: ['portfold', 'kernel'],
  figures: [
    { name: 'flows held of 24000', of: { portfold: 24_000, kernel: 1600 } },
    { name: 'refused', of: { portfold: '2.5 %' } },
  ],
  expectations: [{ name: 'every flow lives on', isMet: true, seen: '24000 of 24000' }],
  why: 'Nothing is short.\nMost sessions: h1.\n',
};

describe('report of an incident', () => {
  it('has a column for each system, and what why said below', () => {
    assert.equal(
      incidentText(INCIDENT),
      [
        '                      portfold   kernel',
        'flows held of 24000     24,000    1,600',
        'refused                  2.5 %        –',
        '',
        'portfold why:',
        '  Nothing is short.',
        '  Most sessions: h1.',
        '',
      ].join('\n'),
    );
  });

  it('is survived when all held that had to, and only then', () => {
    assert.equal(isSurvived(INCIDENT), true);
    const [one] = INCIDENT.expectations;
    const failed = { ...INCIDENT, expectations: [one, { ...one, isMet: false }] };
    assert.equal(isSurvived(failed), false);
  });
});
