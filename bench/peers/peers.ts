import type { Report, SuiteOptions } from '../verbs/report.ts';
export async function peers(_: SuiteOptions): Promise<Report> { throw new Error(''); }
