import assert from 'node:assert/strict';
import { parseRuleset, translatingRules } from '../../../tun/host/ruleset.ts';
import { restoreRank } from '../../../tun/host/sysctl.ts';

/**
 * As `nft -j list ruleset` of version 1.0.6 prints them; the address `expr` of the rules is
 * shortened.
 */
const RULESET = JSON.stringify({
  nftables: [
    { metainfo: { version: '1.0.6', json_schema_version: 1 } },
    { table: { family: 'ip', name: 'mine', handle: 1 } },
    { chain: { family: 'ip', table: 'mine', name: 'post', hook: 'postrouting', policy: 'accept' } },
    { chain: { family: 'inet', table: 'fw', name: 'fwd', hook: 'forward', policy: 'drop' } },
    { chain: { family: 'inet', table: 'fw', name: 'helper' } },
    {
      rule: {
        family: 'ip',
        table: 'mine',
        chain: 'post',
        expr: [{ match: {} }, { masquerade: null }],
      },
    },
    { rule: { family: 'ip6', table: 'six', chain: 'post', expr: [{ masquerade: null }] } },
    {
      rule: { family: 'ip', table: 'mine', chain: 'post', expr: [{ snat: { addr: '192.0.2.1' } }] },
    },
    { rule: { family: 'inet', table: 'portfold', chain: 'prerouting', expr: [{ notrack: null }] } },
    { rule: { family: 'ip', table: 'mine', chain: 'pre', expr: [{ dnat: {} }] } },
  ],
});

describe('rules of others', () => {
  it('that translate source addresses are found', () => {
    const found = translatingRules(parseRuleset(RULESET));
    assert.deepEqual(
      found.map((rule) => `${rule.family} ${rule.table} ${rule.chain} ${rule.kind}`),
      ['ip mine post masquerade', 'ip mine post snat'],
    );
  });

  it('that close forwarding are found', () => {
    const chains = parseRuleset(RULESET).forwardDropChains;
    assert.deepEqual(chains, [{ family: 'inet', table: 'fw', chain: 'fwd', kind: 'drop' }]);
  });
});

describe('order of restoring', () => {
  it('puts switches of forwarding before what they change, and the host before its interfaces', () => {
    const paths = [
      'net/ipv4/conf/lan0/accept_redirects',
      'net/ipv4/conf/all/accept_redirects',
      'net/ipv6/conf/wan0/force_forwarding',
      'net/ipv6/conf/all/forwarding',
      'net/ipv4/ip_forward',
    ];
    assert.deepEqual(
      paths.toSorted((a, b) => restoreRank(a) - restoreRank(b)),
      paths.toReversed(),
    );
  });

  it('does not take mc_forwarding for a switch', () => {
    assert.ok(restoreRank('net/ipv4/conf/lan0/mc_forwarding') > 2);
    assert.ok(restoreRank('net/ipv4/conf/lan0/bc_forwarding') > 2);
  });
});
