/**
 * What the tests of policies with real packets share: another policy for a gateway that runs, a UDP socket that says what
 * became of its datagrams, and counts by name.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { type Namespace, until } from '../../lab/netns.ts';
import type { Bed } from './support.ts';

export const IS_FULL = process.env.PORTFOLD_TEST_FULL === '1';

/** Puts these lines in the place of [policy] and what follows up to [gateway], and awaits that they hold. */
export async function setPolicy({ gateway }: Bed, lines: readonly string[]): Promise<void> {
  const text = readFileSync(gateway.configFile, 'utf8');
  const policy = ['[policy]', ...lines, '', '[gateway]'].join('\n');
  writeFileSync(gateway.configFile, text.replace(/^\[policy\]$[\s\S]*?^\[gateway\]$/m, policy));
  const saidBefore = gateway.process.stderr.length;
  gateway.process.kill('SIGHUP');
  const said = await until('the gateway to take the policy', async () => {
    const news = gateway.process.stderr.slice(saidBefore);
    return /reloaded|nothing changed/.test(news) ? news : undefined;
  });
  if (!said.includes('configuration reloaded')) throw new Error(said);
}

/** How often packets were dropped for that reason. */
export async function dropped({ gateway }: Bed, reason: string): Promise<number> {
  const { items } = await gateway.control.list('drops', {});
  return items.find((item) => item.reason === reason)?.packets ?? 0;
}

export interface Asked {
  /** "answered", "silence", or the ICMP error as "3/13". */
  outcome: string;
  /** From the first datagram on. */
  milliseconds: number;
  /** Local port. */
  port: number;
}

/** A connected socket, as programs have it; the error queue says which ICMP error it was. */
const ASK = `
import json, select, socket, struct, sys, time
to, port, count, wait, local, payload = sys.argv[1:7]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, 11, 1)
s.bind(("", int(local)))
s.connect((to, int(port)))
began = time.monotonic()
outcome = "silence"
for _ in range(int(count)):
  # An error that came for the one before ends a call, and this one has not left yet.
  for _ in range(2):
    try:
      s.send(bytes.fromhex(payload))
      break
    except OSError: pass
poller = select.poll()
poller.register(s, select.POLLIN)
if poller.poll(int(wait)):
  took = time.monotonic() - began
  try:
    s.recv(65535, socket.MSG_DONTWAIT)
    outcome = "answered"
  except OSError:
    _, control, _, _ = s.recvmsg(1, 512, socket.MSG_ERRQUEUE)
    _, _, kind, code, _, _, _ = struct.unpack_from("=IBBBBII", control[0][2])
    outcome = f"{kind}/{code}"
took = time.monotonic() - began
print(json.dumps({"outcome": outcome, "milliseconds": took * 1000, "port": s.getsockname()[1]}))
`;

/** Sends `count` datagrams at once from one new socket of a host, and waits for what comes of them. */
export async function askUdp(
  host: Namespace,
  to: string,
  port: number,
  payload: Uint8Array,
  { count = 1, waitMs = 1000, localPort = 0 } = {},
): Promise<Asked> {
  const hex = Buffer.from(payload).toString('hex');
  const words = ['-c', ASK, to, `${port}`, `${count}`, `${waitMs}`, `${localPort}`, hex];
  return JSON.parse((await host.run('python3', words)).stdout);
}

/** A QUIC Initial of version 1 (RFC 9000 section 17.2.2) as long as clients send it. */
export function quicInitial(): Uint8Array {
  const bytes = new Uint8Array(1200);
  crypto.getRandomValues(bytes);
  bytes.set([0xc3, 0, 0, 0, 1, 8], 0);
  bytes.set([0, 0, 0x44, 0x9e], 14);
  return bytes;
}

/** A STUN binding request (RFC 8489). */
export const STUN_REQUEST = Uint8Array.from([
  0,
  1,
  0,
  0,
  0x21,
  0x12,
  0xa4,
  0x42,
  ...Array(12).fill(7),
]);
