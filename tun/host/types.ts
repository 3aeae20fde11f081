/** What the gateway asks of the host's network settings, in plain values. Made by gateway/ from the configuration. */

export interface HostLan {
  name: string;
  interfaces: string[];
  /** CIDR texts given by hand; otherwise derived from the routes of the interfaces. */
  networks?: string[];
}

export interface AddressLineHost {
  type: 'address';
  name: string;
  interface: string;
  externalAddress: string;
  /** Inclusive ranges, ascending. They count where the host uses the address too. */
  ports: [number, number][];
}

export interface MapELineHost {
  type: 'map-e';
  name: string;
  interface: string;
  externalAddress: string;
  ceAddress: string;
  brAddress: string;
  encapsulation: 'auto' | 'seg6' | 'ip6tnl' | 'own';
  /** Tunnel packets go to neighbours and come from them, past the relay. */
  mesh?: boolean;
}

export interface HostRequest {
  tun: string;
  lans: HostLan[];
  line: AddressLineHost | MapELineHost;
  /** Where the snapshot for the undo lies. */
  runtimeDirectory: string;
}

/** What applying it told, for the engine. */
export interface HostResult {
  /** "own": the kernel does not, and the engine must. */
  encapsulation: 'none' | 'seg6' | 'ip6tnl' | 'own';
  /** MTU of the line's interface. */
  interfaceMtu: number;
  /** Each LAN with the gateway's own address there, most specific prefix first. */
  lanNetworks: { lan: string; interface: string; network: string; gatewayAddress: string }[];
  /** Hops that the engine must give back because the kernel decrements a second time after the TUN, per direction. */
  restoreHopsOutbound: number;
  restoreHopsInbound: number;
  /** The external address is the host's own as well; what is not ours goes back to the host. */
  sharedWithHost: boolean;
  /** A predecessor's settings were there and are taken over: a start that fails later leaves them. */
  adopted?: boolean;
  /** Sentences for the log: what works, but perhaps not as the operator thinks. */
  warnings?: string[];
}
