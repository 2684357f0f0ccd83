import { inEuros, type Price } from "@monorepo/shared";

const prices: Price[] = [
  { article: "tea", cents: 320 },
  { article: "cake", cents: 450 },
];

export function priceOf(article: string): string | undefined {
  const found = prices.find((price) => price.article === article);
  return found && inEuros(found);
}
