/**
 * "Did you mean": the nearest of a few known words, by edit distance with neighbouring letters
 * swapped as one step.
 */

/** The nearest candidate, or undefined when none is near enough to be meant. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const typed = word.toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(typed.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = distanceOf(typed, candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  // Two letters that share nothing are two steps apart; that is no similarity.
  return best !== undefined && bestDistance < Math.max(typed.length, best.length)
    ? best
    : undefined;
}

/** A hint for a word that is not among the candidates: the one meant, or all of them. */
export function hintAmong(word: string, candidates: readonly string[], noun: string): string {
  const meant = nearest(word, candidates);
  return meant === undefined
    ? `${noun}: ${candidates.join(', ')}`
    : `did you mean "${meant}"? ${noun}: ${candidates.join(', ')}`;
}

/** One word that begins with the other ("warning", "warn") is one step away. */
function distanceOf(a: string, b: string): number {
  const [short, long] = a.length < b.length ? [a, b] : [b, a];
  return short.length >= 3 && short !== long && long.startsWith(short) ? 1 : editDistance(a, b);
}

function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, n) => n);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      row[j] = Math.min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (same ? 0 : 1));
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) row[j] = Math.min(row[j], before[j - 2] + 1);
    }
    before = previous;
    previous = row;
  }
  return previous[b.length];
}
