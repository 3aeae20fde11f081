/** An error that ends the gateway and is told to its operator as one sentence. */
export class GatewayError extends Error {
  readonly code: string;
  readonly exitCode: number;

  constructor(code: string, message: string, exitCode: number) {
    super(message);
    this.name = 'GatewayError';
    this.code = code;
    this.exitCode = exitCode;
  }
}
