/** The routers that a scenario may name: Portfold itself, and the models of others. */
import type { ModelMaker } from './model.ts';
import { KNOWN_ROUTERS } from './models/known.ts';

export const PORTFOLD = 'portfold';

/** Models of others by name. */
export const ROUTERS: Readonly<Record<string, ModelMaker>> = KNOWN_ROUTERS;

export const ROUTER_NAMES: readonly string[] = [PORTFOLD, ...Object.keys(ROUTERS)];

export const isRouter = (name: string): boolean => ROUTER_NAMES.includes(name);
