/** The rule sets that the kernel shares 240 ports with use the ports they are said to use. */
import assert from 'node:assert/strict';
import { KERNEL_RULES } from '../../lab/kernel-nat.ts';
import { inPortSet } from '../../lab/lines.ts';

describe('rule sets for 240 ports', () => {
  it('name each port of the MAP-E set once in the map', () => {
    const [, elements] = KERNEL_RULES.numgen.match(/mod 240 map \{ (.*) \}/) ?? [];
    const pairs = elements.split(', ').map((pair) => pair.split(' : ').map(Number));
    assert.deepEqual(
      pairs.map(([index]) => index),
      Array.from({ length: 240 }, (_, i) => i),
    );
    const ports = pairs.map(([, port]) => port);
    assert.equal(new Set(ports).size, 240);
    assert.ok(ports.every((port) => inPortSet('map-e', port)));
  });

  it('have a rule for each of the 15 blocks and protocol as OpenWrt writes them', () => {
    const rules = KERNEL_RULES.OpenWrt.match(/snat to \S+/g) ?? [];
    assert.equal(rules.length, 45);
    assert.equal(new Set(rules).size, 15);
    for (const rule of rules) {
      const [first, last] = (rule.split(':')[1] ?? '').split('-').map(Number);
      assert.equal(last - first, 15);
      assert.ok(inPortSet('map-e', first) && inPortSet('map-e', last));
    }
  });

  it('have as many ports in the one range', () => {
    const [, first, last] = KERNEL_RULES['one range'].match(/:(\d+)-(\d+)/) ?? [];
    assert.equal(Number(last) - Number(first) + 1, 240);
  });
});
