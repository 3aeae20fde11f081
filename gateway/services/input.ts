/**
 * The rules that `portfold mape` works with, from whichever source the command line names.
 *
 *   --service ID     the built-in table
 *   --rule TEXT …    "ipv6=2001:db8::/40,ipv4=192.0.2.0/24,ea=16,offset=6
 *                    [,psid-length=8][,psid=52][,br=ADDRESS][,fmr=yes]"
 *   --s46 HEX        a captured DHCPv6 option 94: its payload, the option, or the server's message
 *   --prefix alone   the built-in service whose rules cover it
 *
 * What is not understood is a UsageError; what is understood and cannot be is a ConfigError.
 */
import { OFFSET_BITS_DEFAULT } from '../../core/mape/psid.ts';
import {
  eaPsidBits,
  type MapRule,
  PSID_FROM_EA,
  ruleOffsetBits,
  ruleProblem,
  rulePsidBits,
} from '../../core/mape/rule.ts';
import {
  isRejection,
  OPTION_S46_BR,
  OPTION_S46_CONT_MAPE,
  OPTION_S46_RULE,
  parseS46Container,
  parseServerMessage,
  type S46Container,
  type S46Rejection,
} from '../../core/mape/s46.ts';
import {
  formatIpv6,
  formatIpv6Prefix,
  type Ipv6Prefix,
  parseIpv6,
  parseIpv6Prefix,
} from '../config/addresses.ts';
import { ConfigError, UsageError } from '../config/errors.ts';
import { ruleSentence, serviceWithRules } from '../config/line.ts';
import { deriveFromPrefix, readRule, ruleComplaint } from '../config/rules.ts';
import { hintAmong } from '../config/suggest.ts';
import {
  coreRules,
  type IidFormatName,
  iidFormatOf,
  listServices,
  type Service,
} from './services.ts';

/** A list of rules with what belongs to it. `brs` runs beside `rules`. */
export interface RuleSource {
  kind: 'service' | 'rule' | 's46';
  /** How the rules are called in sentences. */
  subject: string;
  rules: MapRule[];
  brs: (string | undefined)[];
  iidFormat: IidFormatName;
  service?: Service;
  /** The prefix that the same DHCPv6 message delegates. */
  delegatedPrefix?: Ipv6Prefix;
  notes: string[];
}

/** A port set without an address: only an offset, a PSID length and a PSID were given. */
export interface PortSetOnly {
  offsetBits: number;
  psidBits: number;
  psid: number;
}

const RULE_EXAMPLE = 'ipv6=2001:db8::/40,ipv4=192.0.2.0/24,ea=16,offset=6';

const RULE_KEYS = {
  ipv6: 'ipv6',
  ipv4: 'ipv4',
  ea: 'ea',
  'ea-length': 'ea',
  offset: 'offset',
  'psid-offset': 'offset',
  'psid-length': 'psid-length',
  psid: 'psid',
  br: 'br',
  fmr: 'fmr',
} as const;
type RuleKey = (typeof RULE_KEYS)[keyof typeof RULE_KEYS];
type RuleFields = Partial<Record<RuleKey, string>>;

/** The rules of a built-in service. */
export function fromService(id: string): RuleSource {
  const service = serviceWithRules(id);
  return {
    kind: 'service',
    subject: service.id,
    rules: coreRules(service),
    brs: service.rules.map((rule) => rule.br),
    iidFormat: service.iidFormat,
    service,
    notes: [],
  };
}

/**
 * The built-in service whose rules cover a prefix; the prefixes of different services do not
 * overlap.
 */
export function fromPrefix(prefix: Ipv6Prefix): RuleSource {
  const services = listServices().filter((service) => service.rules.length > 0);
  for (const service of services) {
    const format = iidFormatOf(service.iidFormat);
    const ce = deriveFromPrefix(coreRules(service), prefix, format, service.id);
    if (!('code' in ce) || ce.code !== 'MAPE_NO_RULE') return fromService(service.id);
  }
  const text = formatIpv6Prefix(prefix.bytes, prefix.length);
  const known = services.map((service) => service.id).join(', ');
  throw new ConfigError(
    'MAPE_NO_RULE',
    `${text} is outside every rule of the built-in services (${known}); give the rule with --rule`,
  );
}

/** Rules written on the command line, or a port set when offset and PSID are all that is given. */
export function fromRules(texts: readonly string[], psid?: string): RuleSource | PortSetOnly {
  const fields = texts.map(splitRule);
  const [first] = fields;
  if (fields.length === 1 && first.ipv6 === undefined && first.ipv4 === undefined) {
    return portSetOnly(first, psid);
  }
  const rules = fields.map((each) => ruleOfFields(each, psid));
  const brs = fields.map(({ br }) => {
    if (br === undefined) return undefined;
    const bytes = parseIpv6(br);
    if (bytes !== undefined) return formatIpv6(bytes);
    throw new UsageError('MAPE_BAD_BR', `--rule: br=${br} is not an IPv6 address`);
  });
  const subject = rules.length === 1 ? 'this rule' : 'these rules';
  return { kind: 'rule', subject, rules, brs, iidFormat: 'rfc7597', notes: [] };
}

function splitRule(text: string): RuleFields {
  const fields: RuleFields = {};
  for (const part of text.split(',')) {
    const equals = part.indexOf('=');
    const name = part.slice(0, Math.max(0, equals)).trim();
    if (equals < 0) {
      const what = `"${part.trim()}" has no "="; write for instance ${RULE_EXAMPLE}`;
      throw new UsageError('MAPE_BAD_RULE', `--rule: ${what}`);
    }
    if (!Object.hasOwn(RULE_KEYS, name)) {
      const hint = hintAmong(name, Object.keys(RULE_KEYS), 'known');
      throw new UsageError('MAPE_BAD_RULE', `--rule: there is no "${name}"; ${hint}`);
    }
    const key = RULE_KEYS[name as keyof typeof RULE_KEYS];
    if (fields[key] !== undefined) {
      throw new UsageError('MAPE_BAD_RULE', `--rule: ${key} is given twice`);
    }
    fields[key] = part.slice(equals + 1).trim();
  }
  return fields;
}

function ruleOfFields(fields: RuleFields, psidOption?: string): MapRule {
  for (const key of ['ipv6', 'ipv4', 'ea'] as const) {
    if (fields[key] !== undefined) continue;
    const what = `${key}= is missing; write for instance ${RULE_EXAMPLE}`;
    throw new UsageError('MAPE_BAD_RULE', `--rule: ${what}`);
  }
  const psid = fields.psid ?? psidOption;
  const rule = readRule({
    ipv6: fields.ipv6!,
    ipv4: fields.ipv4!,
    eaLength: numberOf(fields.ea!, '--rule: ea'),
    psidOffset: optionalNumber(fields.offset, '--rule: offset') ?? OFFSET_BITS_DEFAULT,
    psidLength: optionalNumber(fields['psid-length'], '--rule: psid-length'),
    psid: optionalNumber(psid, fields.psid === undefined ? '--psid' : '--rule: psid'),
    forwarding: readFlag(fields.fmr),
  });
  if ('what' in rule) throw new ConfigError(rule.code, ruleSentence(rule));
  return rule;
}

/** A rule of a whole address with an explicit PSID, so that the same checks and sentences apply. */
function portSetOnly(fields: RuleFields, psidOption?: string): PortSetOnly {
  const psid = fields.psid ?? psidOption;
  const length = fields['psid-length'];
  if (length === undefined || fields.ea !== undefined) {
    const what = `ipv6= and ipv4= are missing; write for instance ${RULE_EXAMPLE}`;
    const portSet = 'for a port set alone "offset=6,psid-length=8" with --psid 52';
    throw new UsageError('MAPE_BAD_RULE', `--rule: ${what}, or ${portSet}`);
  }
  const rule: MapRule = {
    ipv6: new Uint8Array(16),
    ipv6Length: 0,
    ipv4: 0,
    ipv4Length: 32,
    eaLength: 0,
    offsetBits: optionalNumber(fields.offset, '--rule: offset') ?? OFFSET_BITS_DEFAULT,
    psidBits: numberOf(length, '--rule: psid-length'),
    psid: optionalNumber(psid, '--psid') ?? 0,
    forwarding: false,
  };
  const problem = ruleProblem(rule);
  if (problem !== undefined && !(problem === 'PortSetEmpty' && psid === undefined)) {
    throw new ConfigError('MAPE_BAD_RULE', ruleSentence(ruleComplaint(rule, problem)));
  }
  if (psid === undefined) {
    throw new UsageError('MAPE_NO_PSID', '--rule: a port set alone needs its PSID; add --psid N');
  }
  return { offsetBits: ruleOffsetBits(rule), psidBits: rulePsidBits(rule), psid: rule.psid };
}

function readFlag(text: string | undefined): boolean {
  if (text === undefined || text === 'no') return false;
  if (text === 'yes') return true;
  throw new UsageError('MAPE_BAD_RULE', `--rule: fmr=${text} is neither yes nor no`);
}

const optionalNumber = (text: string | undefined, what: string): number | undefined =>
  text === undefined ? undefined : numberOf(text, what);

/** A decimal number, or a hexadecimal one with 0x. */
function numberOf(text: string, what: string): number {
  if (/^(?:\d{1,6}|0x[0-9a-f]{1,5})$/i.test(text)) return Number(text);
  throw new UsageError('MAPE_BAD_NUMBER', `${what}: "${text}" is not a number like 52 or 0x34`);
}

/** A captured DHCPv6 container. */
export function fromS46(hex: string, psid?: string): RuleSource {
  const { payload, delegatedPrefix } = containerOf(readHex(hex));
  const container = parseS46Container(payload);
  if (isRejection(container)) {
    const reason = rejectionSentence(container);
    const law = 'a client ignores such a container (RFC 7598 section 6)';
    throw new ConfigError('MAPE_S46_REJECTED', `${reason}; ${law}`);
  }
  for (const rule of container.rules) {
    if (psid !== undefined) setPsid(rule, numberOf(psid, '--psid'));
    const problem = ruleProblem(rule);
    if (problem === undefined) continue;
    throw new ConfigError('MAPE_BAD_RULE', ruleSentence(ruleComplaint(rule, problem)));
  }
  const br = formatIpv6(container.brs[0]);
  return {
    kind: 's46',
    subject: 'this container',
    rules: container.rules,
    brs: container.rules.map(() => br),
    iidFormat: 'rfc7597',
    notes: s46Notes(container),
    ...(delegatedPrefix === undefined ? {} : { delegatedPrefix }),
  };
}

function setPsid(rule: MapRule, psid: number): void {
  rule.psidBits ??= eaPsidBits(rule);
  rule.psid = rule.psidBits === 0 ? PSID_FROM_EA : psid;
}

function s46Notes(container: S46Container): string[] {
  const notes: string[] = [];
  for (const rule of container.rules) {
    const name = formatIpv6Prefix(rule.ipv6, rule.ipv6Length);
    if (rule.portParams === undefined) {
      notes.push(
        `the rule ${name} came without port parameters, so offset ${OFFSET_BITS_DEFAULT} applies`,
      );
    }
    if (rule.portParamsDiscarded) {
      notes.push(
        `the port parameters of the rule ${name} are discarded, since it leaves an IPv4 prefix ` +
          'and no full address (RFC 7598 section 4.5)',
      );
    }
  }
  if (container.brs.length > 1) {
    notes.push(`other relays: ${container.brs.slice(1).map(formatIpv6).join(', ')}`);
  }
  return notes;
}

function readHex(text: string): Uint8Array {
  const hex = text.replace(/[\s:]/g, '').replace(/^0x/i, '');
  if (hex === '' || hex.length % 2 !== 0 || !/^[0-9a-f]+$/i.test(hex)) {
    const what = 'this is not a row of bytes in hexadecimal';
    throw new UsageError('MAPE_BAD_HEX', `--s46: ${what}; write for instance 0059001400…`);
  }
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}

/** Messages that a server sends and that can carry the container (RFC 8415 section 7.3). */
const ADVERTISE = 2;
const REPLY = 7;

function containerOf(bytes: Uint8Array): { payload: Uint8Array; delegatedPrefix?: Ipv6Prefix } {
  const code = bytes.length < 2 ? -1 : (bytes[0] << 8) | bytes[1];
  const firstIsMessage = bytes[0] === ADVERTISE || bytes[0] === REPLY;
  if (!firstIsMessage && code !== OPTION_S46_CONT_MAPE) {
    if (code >= OPTION_S46_RULE && code <= OPTION_S46_CONT_MAPE) return { payload: bytes };
    throw new UsageError(
      'MAPE_BAD_HEX',
      '--s46: these bytes are neither the payload of option 94 ' +
        `(it begins with 00${OPTION_S46_RULE.toString(16)} or 00${OPTION_S46_BR.toString(16)}), ` +
        'nor the option (005e), nor an ADVERTISE (02) or REPLY (07)',
    );
  }
  // The option alone is read like a message whose four bytes in front are missing.
  const message = firstIsMessage ? bytes : Uint8Array.from([0, 0, 0, 0, ...bytes]);
  const found = parseServerMessage(message);
  if (found === undefined) {
    throw new ConfigError('MAPE_S46_REJECTED', 'the options are cut short; copy the whole message');
  }
  if (found.containers.length === 0) {
    const what = 'the message holds no MAP-E container (option 94)';
    throw new ConfigError('MAPE_S46_REJECTED', `${what}; the provider may use another method`);
  }
  const [delegated] = found.prefixes;
  return {
    payload: found.containers[0],
    ...(delegated === undefined
      ? {}
      : { delegatedPrefix: { bytes: delegated.prefix, length: delegated.length } }),
  };
}

function rejectionSentence({ problem, at, value }: S46Rejection): string {
  const place = `at byte ${at}`;
  switch (problem) {
    case 'Truncated':
      return `an option ${place} is longer than what follows`;
    case 'NoRule':
      return 'the container holds no rule (option 89)';
    case 'NoBr':
      return 'the container holds no border relay (option 90)';
    case 'OptionNotPermitted':
      return `option ${value} ${place} is not permitted there`;
    case 'TooManyRules':
      return `the container holds more than ${value} rules`;
    case 'RuleTooShort':
      return `the rule ${place} has ${value} bytes, fewer than its prefix needs`;
    case 'EaLengthOutOfRange':
      return `EA length ${value} ${place} is more than 48`;
    case 'Ipv4LengthOutOfRange':
      return `IPv4 prefix length ${value} ${place} is more than 32`;
    case 'Ipv6LengthOutOfRange':
      return `IPv6 prefix length ${value} ${place} is more than 128`;
    case 'BrLengthWrong':
      return `the border relay ${place} has ${value} bytes instead of 16`;
    case 'PortParamsLengthWrong':
      return `the port parameters ${place} have ${value} bytes instead of 4`;
    case 'PortParamsTwice':
      return `a second set of port parameters stands ${place}`;
    case 'OffsetOutOfRange':
      return `PSID offset ${value} ${place} is more than 15`;
    case 'PsidTooLong':
      return `PSID length ${value} ${place} does not fit into a port beside the offset`;
  }
}

/** The prefix as typed, or a ConfigError. */
export function readPrefix(text: string): Ipv6Prefix {
  const prefix = parseIpv6Prefix(text);
  if (prefix !== undefined) return prefix;
  const what = `"${text}" is not an IPv6 prefix; write it like "240b:10:1234:5600::/56"`;
  throw new ConfigError('MAPE_BAD_PREFIX', what);
}
