/** What is warned of about the limits of a host; the warnings about lines are in load.test.ts. */
import assert from 'node:assert/strict';
import { parseConfig } from '../../../gateway/config/load.ts';
import { configWarnings } from '../../../gateway/config/warnings.ts';

const WAN =
  '[[wan]]\ninterface = "wan0"\ntype = "address"\naddress = "198.51.100.1"\nports = "4096-8191"\n';
const LAN = '[[lan]]\ninterfaces = ["lan0"]\n';

describe('a host that may hold most of the table', () => {
  const limit = (table: string, sessions: number): string =>
    `${table}limits = { sessions = ${sessions} }\n`;
  const warningsOf = (text: string): string[] => configWarnings(parseConfig(text, 'portfold.toml'));
  const sharp = (of: string, what: string): RegExp =>
    new RegExp(`^policy of ${of}: limits\\.sessions = ${what}, so that one host can raise`);

  it('is warned of, beyond half of capacity and where there is no limit', () => {
    const line = (sessions: number): string => `${limit('policy.', sessions)}${LAN}${WAN}`;
    assert.deepEqual(warningsOf(line(131_072)), []);
    const [warning, ...more] = warningsOf(line(131_073));
    assert.match(warning, sharp('line wan0', '131073 is more than half of capacity = 262144'));
    assert.deepEqual(more, []);
    assert.match(warningsOf(line(0))[0], sharp('line wan0', '0 is no limit'));
  });

  it('is warned of where capacity is too small for the preset', () => {
    const small = (capacity: number): string =>
      `policy.preset = "home"\ngateway.capacity = ${capacity}\n${LAN}${WAN}`;
    assert.deepEqual(warningsOf(small(65_536)), []);
    assert.match(
      warningsOf(small(32_768))[0],
      sharp('line wan0', '32768 is more than half of capacity = 32768'),
    );
  });

  it('is one of a LAN with a policy of its own as well, and of the line only where a LAN has none', () => {
    const own = `${LAN}${limit('policy.', 200_000)}`;
    const told = warningsOf(`${limit('policy.', 190_000)}${own}${WAN}`);
    assert.equal(told.length, 1);
    assert.match(told[0], sharp('lan \\w+', '200000 is more than half of capacity = 262144'));
  });

  it('is nothing with any preset at the default capacity, nor where pressure changes nothing', () => {
    for (const preset of ['home', 'event', 'rfc', 'game'])
      assert.deepEqual(warningsOf(`policy.preset = "${preset}"\n${LAN}${WAN}`), [], preset);
    assert.deepEqual(
      warningsOf(`policy = { preset = "rfc", limits = { sessions = 200000 } }\n${LAN}${WAN}`),
      [],
    );
  });
});
