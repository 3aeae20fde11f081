/**
 * The lab's own opinion of the two lines, held against the configuration that the gateway makes of
 * them.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deriveLine } from '../../gateway/config/line.ts';
import { loadConfig } from '../../gateway/config/load.ts';
import {
  ADDRESS,
  configuration,
  inPortSet,
  type LineType,
  MAP_E,
  portRanges,
} from '../../lab/lines.ts';

describe('the lines of the lab', () => {
  const folder = mkdtempSync(join(tmpdir(), 'portfold-lines-'));
  after(() => rmSync(folder, { recursive: true }));

  const derived = (line: LineType) => {
    const file = join(folder, `${line}.toml`);
    writeFileSync(file, configuration(line, { runtimeDirectory: '/run/portfold-lab' }));
    return deriveLine(loadConfig(file).wans[0]);
  };

  it('are what the gateway derives: MAP-E', () => {
    const line = derived('map-e');
    assert.equal(line.externalAddress, MAP_E.externalAddress);
    assert.equal(line.psid, MAP_E.psid);
    assert.equal(line.ceAddress, MAP_E.ceAddress);
    assert.equal(line.brAddress, MAP_E.brAddress);
    assert.deepEqual(line.portRanges, portRanges('map-e'));
    assert.equal(line.ports.length, 240);
    for (let port = 0; port < 65536; port++)
      assert.equal(inPortSet('map-e', port), line.ports.includes(port), `port ${port}`);
  });

  it('are what the gateway derives: address', () => {
    const line = derived('address');
    assert.equal(line.externalAddress, ADDRESS.externalAddress);
    assert.deepEqual(line.portRanges, portRanges('address'));
  });
});
