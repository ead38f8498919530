// Calls of the workers. A worker that has failed is replaced; what it knew is lost, and the caller
// is told by `isFatal`.

export class Client {
  // `opening`: a call that every new worker gets before all others.
  constructor(script, opening) {
    this.script = new URL(script, import.meta.url);
    this.opening = opening;
    this.calls = new Map();
    this.next = 0;
  }

  start() {
    this.worker = new Worker(this.script, { type: "module" });
    this.worker.onmessage = ({ data: { id, value, error } }) => {
      const call = this.calls.get(id);
      this.calls.delete(id);
      if (!call) return;
      if (!error) return call.resolve(value);
      const said = Object.assign(new Error(error.message), error);
      call.reject(said);
      if (error.isFatal) this.stop(said);
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.stop(new Error(event.message || "the program could not be started"));
    };
    this.opened = this.opening && this.post(...this.opening);
    // Whoever calls is told.
    this.opened?.catch(() => {});
  }

  stop(reason) {
    this.worker?.terminate();
    this.worker = undefined;
    for (const { reject } of this.calls.values()) reject(reason);
    this.calls.clear();
  }

  // What the worker's opening has answered.
  open() {
    if (!this.worker) this.start();
    return this.opened;
  }

  async call(name, ...args) {
    await this.open();
    return this.post(name, ...args);
  }

  post(name, ...args) {
    if (!this.worker) this.start();
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.calls.set(id, { resolve, reject });
      this.worker.postMessage({ id, name, args });
    });
  }
}

// Errors behind which a worker cannot go on: a trap leaves the program's memory as it is in the
// middle of something, and a lost device takes along what was on it.
const FATAL = ["RuntimeError", "RangeError", "InternalError", "DeviceLost"];

// What a worker answers with: its calls, one after the other.
export function serve(calls) {
  let queue = Promise.resolve();
  self.onmessage = ({ data: { id, name, args } }) => {
    queue = queue.then(async () => {
      try {
        self.postMessage({ id, value: await calls[name](...args) });
      } catch (thrown) {
        const error = thrown instanceof Error ? thrown : new Error(String(thrown));
        const { name: kind, message } = error;
        self.postMessage({ id, error: { name: kind, message, isFatal: FATAL.includes(kind) } });
      }
    });
  };
}
