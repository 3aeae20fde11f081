/**
 * Filtering (RFC 4787 section 5): whose packets reach the owner of a port although no session carries them.
 *
 *   address-dependent      remote addresses that the owner has sessions with, from any of their ports      permits.ts
 *   endpoint-independent   everybody (REQ-8), where the profile of the owner's LAN says so
 *
 * The profile stands in the mapping, so that the owners of two LANs on one port set may differ.
 */
import type { Profile } from '../policy.ts';
import type { Mappings } from './mappings.ts';
import type { Permits } from './permits.ts';

export class Filter {
  /** Of the policy in force. */
  profiles: readonly Profile[] = [];
  private readonly mappings: Mappings;
  private readonly permits: Permits;

  constructor(mappings: Mappings, permits: Permits) {
    this.mappings = mappings;
    this.permits = permits;
  }

  /** True if the owner admits every remote endpoint: no session of another may lie on its port then. */
  isOpen(owner: number): boolean {
    const { profiles } = this;
    const profile = profiles[this.mappings.profile(owner)] ?? profiles[0];
    return profile?.openFilter === true;
  }

  /** True if a packet from that address reaches the owner. */
  admits(owner: number, address: number): boolean {
    return this.permits.admits(owner, address) || this.isOpen(owner);
  }
}
