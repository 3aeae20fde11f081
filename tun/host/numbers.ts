/**
 * The numbers and names under which Portfold's settings stand in the kernel, so that a person,
 * another program and the next start can tell ours from others'.
 *
 *   route and rule protocol 176   on every route and rule that we make (`ip route show proto 176`)
 *   table 7600                    LAN traffic: throw for the kernel's part, default into the TUN
 *   table 7606 / 7607             MAP-E out / in: encapsulation and decapsulation
 *   table 7609                    used by no rule: where SRv6 is tried without a namespace for it
 *   rule priority 300 / 310       from the LAN into table 7600, IPv6: fragments of the tunnel into the
 *                                 TUN / into the MAP-E tables
 *   rule priority 100 / 200       an address that the host uses too: marked packets / `local`, moved
 *   mark 0x20000000               one bit, set on packets to such an address that are the gateway's, and
 *                                 on fragments of the tunnel
 *   nftables table inet portfold  notrack and the belt against untranslated packets
 */
export const PROTOCOL = '176';

export const TABLE_LAN = '7600';
export const TABLE_ENCAPSULATE = '7606';
export const TABLE_DECAPSULATE = '7607';
/** No rule leads here, and it is empty again a moment later. */
export const TABLE_TRIAL = '7609';
export const TABLES = [TABLE_LAN, TABLE_ENCAPSULATE, TABLE_DECAPSULATE, TABLE_TRIAL];

export const PRIORITY_LAN = '300';
export const PRIORITY_MAP_E = '310';
/** IPv6 only: before the table that decapsulates. */
export const PRIORITY_FRAGMENTS = PRIORITY_LAN;
export const PRIORITIES = [PRIORITY_LAN, PRIORITY_MAP_E];

/** Only on a line whose address the host uses too. */
export const PRIORITY_SHARED = '100';
export const PRIORITY_LOCAL = '200';
/** Where the kernel has its rule for local addresses, and what it calls table and protocol. */
export const PRIORITY_LOCAL_KERNEL = '0';
export const TABLE_LOCAL = '255';
export const PROTOCOL_KERNEL = '2';
/** A bit that neither Kubernetes nor the usual VPN clients use; others' bits are left as they are. */
export const MARK = '0x20000000';

/** Behind every other route: drops in silence while no gateway reads the TUN. */
export const METRIC_LAST = '4294967295';
/** Behind the default routes that DHCP clients and network managers make. */
export const METRIC_OWN_TRAFFIC = '4096';

export const TUN_ALIAS = 'portfold gateway';
export const TUN_MTU = '65535';
export const TUN_QUEUE_LENGTH = '10000';

/**
 * The IPv4 dummy address (RFC 7600 section 4.8). On an interface without any address the kernel
 * refuses local source addresses as soon as rp_filter is not 0; with this one, loose filtering
 * admits the ICMP answers that carry the gateway's LAN address. Scope host keeps it from being a
 * source.
 */
export const TUN_DUMMY_ADDRESS = '192.0.0.8/32';
