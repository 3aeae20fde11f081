/** The size of a chart, and of its inner rectangle. */
export const WIDTH = 720;
export const HEIGHT = 400;
export const PLOT = { left: 76, right: 696, top: 64, bottom: 310 } as const;
