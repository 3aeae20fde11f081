/**
 * A web server of the internet that speaks HTTP/3 (caddy), and what a browser is told to believe it.
 *
 *   server     says on each page by which protocol it was asked, and offers h3 by Alt-Svc
 *   browser    knows the names without a name server, and the certificate by its public key
 *
 * The certificate is made by caddy's own authority, which nobody knows. A browser speaks QUIC with
 * such a server only where it is told that its host may do so; naming any origin of the host for
 * forced QUIC does that for all of its ports.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Background, type Namespace, until } from './netns.ts';
import { SERVER } from './topology.ts';

/** Tried by QUIC alone, as by a program that knows nothing else. */
export const QUIC_ONLY_NAME = 'quic.test';
/** Asked by TCP first; goes on with QUIC because the answer offers it. */
export const OFFERED_NAME = 'offered.test';

const NO_SERVICE_PORT = 1;

export interface Http3Server {
  server: Background;
  /** For Browser.start. */
  flags: string[];
}

export async function startHttp3Server(internet: Namespace, folder: string): Promise<Http3Server> {
  const home = join(folder, 'caddy');
  mkdirSync(home);
  const configFile = join(home, 'Caddyfile');
  writeFileSync(
    configFile,
    `{
  admin off
  auto_https disable_redirects
  skip_install_trust
  storage file_system ${home}
}
https://${QUIC_ONLY_NAME}, https://${OFFERED_NAME} {
  bind ${SERVER}
  tls internal
  header Access-Control-Allow-Origin *
  header Cache-Control no-store
  header Content-Type text/plain
  respond "{http.request.proto}"
}
`,
  );
  const server = internet.start(
    'caddy',
    ['run', '--adapter', 'caddyfile', '--config', configFile],
    {
      env: { HOME: home, XDG_DATA_HOME: home, XDG_CONFIG_HOME: home },
    },
  );
  const keys = await until('caddy to have its certificates', () => {
    if (server.over) throw new Error(server.stderr);
    return [QUIC_ONLY_NAME, OFFERED_NAME].map((name) =>
      keyOf(join(home, 'certificates', 'local', name, `${name}.crt`)),
    );
  });
  await until('caddy to listen', async () => {
    const sockets = await internet.run('ss', ['-Hltun', 'sport', '=', ':443']);
    return /^tcp/m.test(sockets.stdout) && /^udp/m.test(sockets.stdout);
  });
  return {
    server,
    flags: [
      `--host-resolver-rules=MAP *.test ${SERVER},MAP * ~NOTFOUND`,
      `--ignore-certificate-errors-spki-list=${keys.join(',')}`,
      `--origin-to-force-quic-on=${QUIC_ONLY_NAME}:443,${OFFERED_NAME}:${NO_SERVICE_PORT}`,
    ],
  };
}

/** SHA-256 of the public key in a certificate, as browsers want to have it. */
function keyOf(file: string): string {
  const { publicKey } = new X509Certificate(readFileSync(file));
  const der = publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(der).digest('base64');
}
