/** Numbers for people. Scripts get the raw ones by -o json, ndjson or csv. */

/** 12345 → "12,345". The same on every machine: no locale. */
export const formatCount = (value: number): string =>
  String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');

const UNITS = ['kB', 'MB', 'GB', 'TB', 'PB'];

/** Three digits and a decimal unit: "999 B", "1.21 MB". The same steps as the filter's k, M and G. */
export function formatBytes(bytes: number): string {
  if (bytes < 999.5) return `${Math.round(bytes)} B`;
  let value = bytes / 1_000;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1_000;
    unit++;
  }
  const digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** The two greatest units: "0.3s", "42s", "5m03s", "1h02m", "3d04h". */
export function formatDuration(seconds: number): string {
  if (seconds < 9.95) return `${Math.round(seconds * 10) / 10}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}s`;
  if (whole < 3_600) return `${Math.floor(whole / 60)}m${twoDigits(whole % 60)}s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 1_440) return `${Math.floor(minutes / 60)}h${twoDigits(minutes % 60)}m`;
  const hours = Math.floor(minutes / 60);
  return `${formatCount(Math.floor(hours / 24))}d${twoDigits(hours % 24)}h`;
}

const twoDigits = (value: number): string => String(value).padStart(2, '0');

/** "4.7 %"; "<0.1 %" is not nothing. */
export function formatShare(part: number, whole: number): string {
  if (whole <= 0 || part === 0) return '0 %';
  const percent = (part / whole) * 100;
  return percent < 0.1
    ? '<0.1 %'
    : `${percent < 9.95 ? percent.toFixed(1) : Math.round(percent)} %`;
}

/** "[#####---------------]". Whatever is not empty shows at least one step. */
export function formatBar(part: number, whole: number, width = 20): string {
  const filled = whole <= 0 ? 0 : Math.min(width, Math.round((part / whole) * width));
  const steps = part > 0 ? Math.max(1, filled) : 0;
  return `[${'#'.repeat(steps)}${'-'.repeat(width - steps)}]`;
}
