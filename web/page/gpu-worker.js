// The GPU: training and explaining, away from the thread that draws the page.

import init, { Engine } from "./saliq.js";
import { serve } from "./client.js";

const FILES = [
  "train-images-idx3-ubyte.gz",
  "train-labels-idx1-ubyte.gz",
  "t10k-images-idx3-ubyte.gz",
  "t10k-labels-idx1-ubyte.gz",
];
let engine;
const loaded = new Map();
// Downloads that began before someone needs them, by path.
const early = new Map();

async function download(path) {
  const url = new URL(path, import.meta.url);
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${answer.statusText}`);
  return new Uint8Array(await answer.arrayBuffer());
}

function bytes(path) {
  const begun = early.get(path);
  early.delete(path);
  return begun ?? download(path);
}

const filesOf = (set) => FILES.map((file) => `data/${set}/${file}`);
const fileOf = (model) => `models/${model}.safetensors`;

// Calls that use a set or a model of the page fetch it first.
async function dataset(name) {
  if (loaded.has(name)) return;
  const files = await Promise.all(filesOf(name).map(bytes));
  engine.add_dataset(name, ...files);
  loaded.set(name, true);
}

const json = JSON.parse;

serve({
  // `wanted`: the set and the models that are needed first.
  async open(defaults, { set, models }) {
    for (const path of [...filesOf(set), ...models.map(fileOf)]) {
      const begun = download(path);
      // It is told where the file is used.
      begun.catch(() => {});
      early.set(path, begun);
    }
    await init({ module_or_path: new URL("saliq_bg.wasm", import.meta.url) });
    engine = await Engine.open(defaults);
    return { adapter: json(engine.adapter()), methods: json(engine.methods()) };
  },
  async image(set, index) {
    await dataset(set);
    return engine.image(set, index);
  },
  async begin(settings, set, { init, checkpoint }) {
    await dataset(set);
    return json(await engine.begin(settings, set, init?.name, init?.bytes, checkpoint));
  },
  advance: async (steps) => json(await engine.advance(steps)),
  runMaps: () => engine.run_maps(),
  runEvaluation: async () => json(await engine.run_evaluation()),
  runModel: () => engine.run_model(),
  runCheckpoint: () => engine.run_checkpoint(),
  lose: () => engine.lose(),
  async builtInModel(id) {
    const key = `model ${id}`;
    if (!loaded.has(key)) {
      const file = fileOf(id);
      const about = engine.add_model(id, file, await bytes(file), undefined);
      loaded.set(key, json(about));
    }
    return loaded.get(key);
  },
  // The same file again is known already.
  ownModel(id, name, content, normalize) {
    const key = `model ${id}`;
    const file = `${name} ${content.length} ${normalize}`;
    if (loaded.get(key)?.file !== file) {
      loaded.delete(key);
      loaded.set(key, { file, ...json(engine.add_model(id, name, content, normalize)) });
    }
    return loaded.get(key);
  },
  addModel: (id, name, content, normalize) => json(engine.add_model(id, name, content, normalize)),
  removeModel(id) {
    loaded.delete(`model ${id}`);
    engine.remove_model(id);
  },
  explain: (id, pixels, method, target, samples) =>
    engine.explain(id, pixels, method, target, samples),
});
