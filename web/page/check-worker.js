// The check of shaders, which needs no GPU.

import init, { check, translate } from "./saliq.js";
import { serve } from "./client.js";

const ready = init({ module_or_path: new URL("saliq_bg.wasm", import.meta.url) });

serve({
  async check(text) {
    await ready;
    return JSON.parse(check(text));
  },
  async translate(text) {
    await ready;
    return JSON.parse(translate(text));
  },
});
