/** The models of known routers, by name. A new one is a file of parameters and a line here. */
import type { ModelMaker } from '../model.ts';
import { linuxMasquerade, numgen, openwrtMap } from './linux.ts';
import { necIx } from './nec-ix.ts';
import type { RouterParameters } from './parameters.ts';
import { routerModel } from './router.ts';
import { rtx1200, yamahaType1, yamahaType2, yamahaType3 } from './yamaha.ts';

const KNOWN: readonly RouterParameters[] = [
  yamahaType1,
  yamahaType2,
  yamahaType3,
  rtx1200,
  necIx,
  linuxMasquerade,
  openwrtMap,
  numgen,
];

export const KNOWN_ROUTERS: Readonly<Record<string, ModelMaker>> = Object.fromEntries(
  KNOWN.map((parameters) => [parameters.name, routerModel(parameters)]),
);
