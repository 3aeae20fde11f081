/**
 * The configuration after validation: every default filled in, addresses as text, ready for the
 * rooms that use it.
 */
import type { PolicySettings } from '../../policies/settings.ts';

export interface LanConfig {
  name: string;
  interfaces: string[];
  /** CIDR texts; undefined: every source that the kernel routes back to these interfaces. */
  networks?: string[];
  /** Where this LAN has a policy of its own. */
  policy?: PolicySettings;
}

/** A MAP rule (RFC 7597 section 5) as text and numbers. */
export interface MapRuleConfig {
  ipv6: string;
  ipv4: string;
  eaLength: number;
  psidOffset: number;
  psidLength?: number;
  /**
   * A PSID given beside the rule (RFC 7597 appendix A.5); undefined: it is read from the EA bits.
   */
  psid?: number;
  br: string;
  /** false: not used to reach neighbours, on a line in a mesh (RFC 7597 section 5.4). */
  fmr?: boolean;
}

interface WanCommon {
  name: string;
  interface: string;
  /** MTU of the IPv4 packets on this line; undefined: from the interface (map-e: less 40). */
  mtu?: number;
}

export interface AddressWanConfig extends WanCommon {
  type: 'address';
  address: string;
  /** Inclusive ranges, ascending, not overlapping. */
  ports: [number, number][];
}

export interface MapEWanConfig extends WanCommon {
  type: 'map-e';
  /** Id of a built-in service; absent when rules are given by hand. */
  service?: string;
  rules?: MapRuleConfig[];
  /** The end-user IPv6 prefix, for instance "240b:10:1234:5600::/56", or "auto". */
  prefix: string;
  iidFormat?: 'rfc7597' | 'draft-ietf-softwire-map-03';
  br?: string;
  encapsulation: 'auto' | 'seg6' | 'ip6tnl' | 'own';
  /** Neighbours are reached directly, by the rules of the line. */
  mesh?: boolean;
}

export type WanConfig = AddressWanConfig | MapEWanConfig;

export interface PortfoldConfig {
  lans: LanConfig[];
  wans: WanConfig[];
  /** Of the line, and of every LAN without one of its own. */
  policy: PolicySettings;
  gateway: {
    /** Sessions that the arena holds. */
    capacity: number;
    tun: string;
    /** Directory of the arena and the host snapshot; must be tmpfs for the arena. */
    runtimeDirectory: string;
    logLevel: 'debug' | 'info' | 'warn' | 'error';
    /** The datapath goes before ordinary programs; undefined: where the machine has two processors. */
    realtime?: boolean;
  };
}
