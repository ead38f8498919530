// Calls of the workers. A worker that has failed is replaced; what it knew is lost, and the caller
// is told.

export class Client {
  constructor(script) {
    this.script = new URL(script, import.meta.url);
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
      const said = Object.assign(new Error(error.message), { name: error.name });
      call.reject(said);
      if (error.isFatal) this.stop(said);
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.stop(new Error(event.message || "the program could not be started"));
    };
  }

  stop(reason = new Error("stopped")) {
    this.worker?.terminate();
    this.worker = undefined;
    for (const { reject } of this.calls.values()) reject(reason);
    this.calls.clear();
  }

  call(name, ...args) {
    if (!this.worker) this.start();
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.calls.set(id, { resolve, reject });
      this.worker.postMessage({ id, name, args });
    });
  }
}

// What a worker answers with: its calls, one after the other.
export function serve(calls) {
  let queue = Promise.resolve();
  self.onmessage = ({ data: { id, name, args } }) => {
    queue = queue.then(async () => {
      try {
        self.postMessage({ id, value: await calls[name](...args) });
      } catch (thrown) {
        const error = thrown instanceof Error ? thrown : new Error(String(thrown));
        // A trap leaves the program's memory as it is in the middle of something.
        const isFatal = error instanceof WebAssembly.RuntimeError || error instanceof RangeError;
        const message = isFatal ? `the program has failed: ${error.message}` : error.message;
        self.postMessage({ id, error: { name: error.name, message, isFatal } });
      }
    });
  };
}
