export interface Mail {
  to: string;
  text: string;
}

export class MailQueue {
  private readonly waiting: Mail[] = [];

  add(mail: Mail): number {
    return this.waiting.push(mail);
  }

  take(): Mail | undefined {
    return this.waiting.shift();
  }
}
