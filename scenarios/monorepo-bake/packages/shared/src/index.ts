export interface Price {
  article: string;
  cents: number;
}

export function inEuros(price: Price): string {
  return `${(price.cents / 100).toFixed(2)} EUR`;
}

export function say(service: string, text: string): void {
  console.log(JSON.stringify({ service, text, at: new Date().toISOString() }));
}
