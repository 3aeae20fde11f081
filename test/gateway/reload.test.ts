import assert from 'node:assert/strict';
import { parseConfig } from '../../gateway/config/load.ts';
import type { PortfoldConfig } from '../../gateway/config/types.ts';
import { changesBetween } from '../../gateway/reload.ts';

const TEXT = `
[[lan]]
interfaces = ["lan0"]
[[wan]]
interface = "wan0"
type = "address"
address = "198.51.100.1"
ports = "4096-8191"
[policy]
preset = "home"
[gateway]
tun = "nat0"
`;

const config = (edit = (text: string): string => text): PortfoldConfig =>
  parseConfig(edit(TEXT), 'portfold.toml');

describe('what a reload may change', () => {
  it('nothing, when the file says the same in other words', () => {
    const other = config((text) =>
      text
        .replace('"4096-8191"', '["4096-5000", "5001-8191"]')
        .replace('tun', 'log-level="info"\ntun'),
    );
    assert.deepEqual(changesBetween(config(), other), []);
  });

  it('policy, log level and LANs, named as the file names them', () => {
    const other = config((text) =>
      text
        .replace('"home"', '"rfc"')
        .replace('tun =', 'log-level = "warn"\ntun =')
        .replace('["lan0"]', '["lan0"]\nnetworks = ["192.168.1.0/24"]'),
    );
    const changes = ['policy', 'gateway.log-level', 'lan'];
    assert.deepEqual(changesBetween(config(), other), changes);
  });

  for (const [key, from, to] of [
    ['wan', '"198.51.100.1"', '"198.51.100.2"'],
    ['wan', '"4096-8191"', '"4096-8190"'],
    ['wan', 'type = "address"', 'type = "address"\nmtu = 1400'],
    ['gateway.tun', '"nat0"', '"nat1"'],
    ['gateway.capacity', 'tun', 'capacity = 1024\ntun'],
    ['gateway.runtime-directory', 'tun', 'runtime-directory = "/run/other"\ntun'],
  ])
    it(`not ${key}: ${to.replace('\n', ' ')}`, () => {
      const other = config((text) => text.replace('"home"', '"rfc"').replace(from, to));
      assert.throws(() => changesBetween(config(), other), {
        code: 'RELOAD_NEEDS_RESTART',
        message: new RegExp(`^${key} cannot change while the gateway runs; restart it`),
      });
    });

  it('not a part of the configuration that nobody thought of', () => {
    const other = { ...config(), unheardOf: { of: 1 } };
    assert.throws(() => changesBetween(config(), other), /^GatewayError: unheardOf cannot change/);
  });
});
