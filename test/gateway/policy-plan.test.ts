/** Profiles of the LANs in the engine's words, and how they stay the same through reloads. */
import assert from 'node:assert/strict';
import { parseIpv4 } from '../../core/wire/ipv4.ts';
import { parseConfig } from '../../gateway/config/load.ts';
import type { PortfoldConfig } from '../../gateway/config/types.ts';
import { policyPlan, profileNumbers } from '../../gateway/policy-plan.ts';
import { PRESETS } from '../../policies/settings.ts';

const WAN = `
[[wan]]
interface = "wan0"
type = "address"
address = "198.51.100.1"
ports = "4096-8191"
[gateway]
capacity = 4096
`;

/** LANs "name preset", or "name" for one without a policy of its own. */
function configOf(...lans: string[]): PortfoldConfig {
  const tables = lans.map((lan) => {
    const [name, preset] = lan.split(' ');
    const policy = preset === undefined ? '' : `policy.preset = "${preset}"\n`;
    return `[[lan]]\nname = "${name}"\ninterfaces = ["if-${name}"]\n${policy}`;
  });
  return parseConfig(`${tables.join('')}${WAN}`, 'portfold.toml');
}

const NONE = new Map<string, number>();
const numbersOf = (config: PortfoldConfig, before = NONE as ReadonlyMap<string, number>) =>
  Object.fromEntries(profileNumbers(config, before));

describe('profiles of LANs', () => {
  it('each network has that of its LAN; equal policies share one, and that of the line is 0', () => {
    const config = configOf('a event', 'b', 'c event', 'd home', 'e rfc');
    const numbers = profileNumbers(config, NONE);
    assert.deepEqual(Object.fromEntries(numbers), { a: 1, c: 1, e: 2 });
    const plan = policyPlan(config, numbers, ['c', 'b', 'a', 'd', 'a', 'e'], '198.51.100.1');
    assert.deepEqual(plan.profileOfLan, [1, 0, 1, 0, 1, 2]);
    assert.deepEqual(
      plan.profiles.map((each) => each.preset),
      ['home', 'event', 'rfc'],
    );
    assert.deepEqual(plan.profiles[0], PRESETS.home);
    assert.equal(plan.capacity, 4096);
    assert.equal(plan.externalAddress, parseIpv4('198.51.100.1'));
    assert.deepEqual(structuredClone(plan), plan);
  });

  it('a LAN keeps its number when another one gets a policy, or loses it', () => {
    const first = profileNumbers(configOf('a', 'b event', 'c rfc'), NONE);
    assert.deepEqual(Object.fromEntries(first), { b: 1, c: 2 });
    const second = profileNumbers(configOf('a game', 'b event', 'c rfc'), first);
    assert.deepEqual(Object.fromEntries(second), { b: 1, c: 2, a: 3 });
    assert.deepEqual(numbersOf(configOf('a game', 'b', 'c rfc'), second), { a: 3, b: 1, c: 2 });
    assert.deepEqual(numbersOf(configOf('c event', 'b rfc', 'a'), first), { c: 2, b: 1 });
  });

  it('a number that nobody has any more means the policy of the line', () => {
    const before = profileNumbers(configOf('a event', 'b rfc'), NONE);
    const config = configOf('a', 'b rfc');
    const plan = policyPlan(config, profileNumbers(config, before), ['a', 'b'], '198.51.100.1');
    assert.deepEqual(
      plan.profiles.map((each) => each.preset),
      ['home', 'home', 'rfc'],
    );
    assert.deepEqual(plan.profileOfLan, [0, 2]);
  });

  it('a number is given to another LAN only when there is no other, since sessions keep theirs', () => {
    let numbers = profileNumbers(configOf('a event', 'b'), NONE);
    for (const [config, expected] of [
      [configOf('a', 'b'), { a: 1 }],
      [configOf('a', 'b game'), { a: 1, b: 2 }],
      [configOf('a event', 'b game'), { a: 1, b: 2 }],
      [configOf('a', 'b', 'c rfc'), { a: 1, b: 2, c: 3 }],
      [configOf('a', 'b', 'c rfc', 'd game'), { b: 2, c: 3, d: 1 }],
    ] as const) {
      numbers = profileNumbers(config, numbers);
      assert.deepEqual(Object.fromEntries(numbers), expected);
    }
  });

  it('asked again it answers the same', () => {
    const config = configOf('a event', 'b rfc', 'c game');
    const once = profileNumbers(config, new Map([['b', 3]]));
    assert.deepEqual(Object.fromEntries(once), { b: 3, a: 1, c: 2 });
    assert.deepEqual(profileNumbers(config, once), once);
  });
});
