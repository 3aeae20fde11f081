/**
 * The host's network settings where the external address is the host's own: the rule for local
 * addresses moves without a gap, and the list of reserved ports belongs to several.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HostRequest, UndoReport } from '../../tun/host/index.ts';
import {
  apply,
  assertState,
  fakeIp,
  GATEWAY,
  inside,
  request,
  runtimeDirectory,
  SHARED_LINE,
  scratch,
  setUp,
  shell,
  state,
  tearDown,
  undo,
  verb,
} from '../tun/host/bed.ts';

const RESERVED = 'net.ipv4.ip_local_reserved_ports';

describe("host settings for an address of the host's own", function () {
  this.timeout(60_000);

  beforeEach(setUp);
  afterEach(tearDown);

  it('there is a rule for local addresses at every moment', () => {
    const gaps = join(scratch, 'gaps');
    const path = fakeIp(
      '*rule*',
      `echo one >> ${gaps}; $REAL -4 rule show | grep -q 'lookup local' || echo gap >> ${gaps}`,
    );
    const wanted = JSON.stringify(request(SHARED_LINE));
    const before = state();
    verb('apply', wanted, { path });
    verb('apply', wanted, { path });
    verb('undo', runtimeDirectory, { path });
    assertState(before);
    assert.match(readFileSync(gaps, 'utf8'), /^(one\n){8,}$/);
  });

  it('the moved rule stays when the first cannot be put back', () => {
    const before = state();
    apply(request(SHARED_LINE));
    const path = fakeIp(
      '*rule*add*pref*0*table*255*',
      'echo "RTNETLINK answers: Cannot allocate memory" >&2; exit 2',
    );
    const report = verb<UndoReport>('undo', runtimeDirectory, { path });
    assert.match(report.problems.join(), /rule add pref 0 table 255 .*allocate memory/);
    assert.match(state(), /200:\s+from all lookup local/);
    undo();
    assertState(before);
  });

  it('ports that others reserve stay reserved, ours go', () => {
    const read = (): string => inside(GATEWAY, 'sysctl', '-n', RESERVED).trim();
    shell(GATEWAY, `sysctl -qw ${RESERVED}=1234,40000-40009`);
    const before = state();
    apply(request(SHARED_LINE));
    assert.equal(read(), '1234,40000-59999');
    undo();
    assertState(before);

    apply(request(SHARED_LINE));
    shell(GATEWAY, `sysctl -qw ${RESERVED}=1234,5000,40000-59999`);
    apply(request({ ...SHARED_LINE, ports: [[50000, 60000]] } as HostRequest['line']));
    assert.equal(read(), '1234,5000,40000-40009,50000-60000');
    undo();
    assert.equal(read(), '1234,5000,40000-40009');
  });
});
