/**
 * A line in a mesh, and three of its neighbours. The rule, 2001:db8::/40 with 203.0.113.0/24, 16 EA bits and offset 4, makes of an address
 * 203.0.113.X and a PSID P the CE address 2001:db8:X:P00:0:cb00:71XX:P.
 */
import { IID_RFC7597 } from '../../core/mape/address.ts';
import { type MapRule, PSID_FROM_EA } from '../../core/mape/rule.ts';
import type { MeshRules } from '../../core/translate/mesh.ts';
import { parseIpv4 } from '../../core/wire/ipv4.ts';
import { EXTERNAL } from './gateway.ts';
import { BR, ipv6 } from './tunnel.ts';

export const RULE: MapRule = {
  ipv6: ipv6('2001:db8:0:0:0:0:0:0'),
  ipv6Length: 40,
  ipv4: parseIpv4('203.0.113.0'),
  ipv4Length: 24,
  eaLength: 16,
  offsetBits: 4,
  psid: PSID_FROM_EA,
  forwarding: true,
};

const hex = (value: number): string => value.toString(16).padStart(2, '0');

/** The CE address of who has the PSID on 203.0.113.`last`. */
export const ceOf = (last: number, psid: number): Uint8Array =>
  ipv6(`2001:db8:${hex(last)}:${hex(psid)}00:0:cb00:71${hex(last)}:${hex(psid)}`);

export const OURS = ceOf(5, 0x34);

export interface Neighbour {
  address: string;
  port: number;
  ce: Uint8Array;
}

/** On another address with our PSID; on another address with another PSID; on our address. */
export const TWIN: Neighbour = { address: '203.0.113.9', port: 0x1345, ce: ceOf(9, 0x34) };
export const OTHER: Neighbour = { address: '203.0.113.9', port: 0x2567, ce: ceOf(9, 0x56) };
export const FLATMATE: Neighbour = { address: EXTERNAL, port: 0x3567, ce: ceOf(5, 0x56) };
export const NEIGHBOURS = [TWIN, OTHER, FLATMATE];

export const endpointOf = ({ address, port }: Neighbour): string => `${address}:${port}`;

/** The mesh of these rules. */
export const meshOf = (...rules: MapRule[]): MeshRules => ({ rules, iidFormat: IID_RFC7597 });

export const MESH_LINE = { ceAddress: OURS, brAddress: BR, mesh: meshOf(RULE) };
