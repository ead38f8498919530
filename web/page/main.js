// The page: views, the GPU, and what tests call.

import { Client } from "./client.js";
import { arrow, element, make } from "./dom.js";
import { Learn } from "./learn.js";
import { BUILT_IN, Look } from "./look.js";
import { Check } from "./check.js";
import * as store from "./store.js";

const VIEWS = ["learn", "look", "check", "about"];
const options = new URLSearchParams(location.search);

// What is downloaded while the program starts.
const wanted = { set: "mnist-mini", models: location.hash === "#look" ? BUILT_IN : [] };
// `?limits=default` asks for no more than every browser grants.
const gpu = new Client("gpu-worker.js", ["open", options.get("limits") === "default", wanted]);
const checker = new Client("check-worker.js");
let opened;

async function open() {
  const { adapter, methods } = await gpu.open();
  const info = (await navigator.gpu?.requestAdapter())?.info ?? {};
  const name = [info.description || info.device, info.vendor, info.architecture];
  const unknown = adapter.isSoftware ? "the processor" : "a GPU";
  adapter.name = adapter.name || name.filter(Boolean).join(" ") || unknown;
  return { adapter, methods };
}

const learn = new Learn({ gpu });
const look = new Look({ gpu });
const check = new Check({ checker });
const views = { learn, look, check };

function show(view) {
  const isLacking = !element("no-gpu").dataset.reason ? false : view === "learn" || view === "look";
  for (const one of VIEWS) {
    const isThis = one === view;
    element(one).hidden = !isThis || isLacking;
    const tab = element(`tab-${one}`);
    tab.setAttribute("aria-selected", isThis);
    tab.tabIndex = isThis ? 0 : -1;
  }
  element("no-gpu").hidden = !isLacking;
  if (!isLacking) views[view]?.show?.();
}

function route() {
  const asked = location.hash.slice(1);
  show(VIEWS.includes(asked) ? asked : "learn");
}

for (const view of VIEWS) {
  element(`tab-${view}`).addEventListener("click", () => (location.hash = view));
}
document.querySelector("header [role=tablist]").addEventListener("keydown", (event) => {
  const step = arrow(event)?.[1];
  if (!step) return;
  const at = VIEWS.findIndex((view) => element(`tab-${view}`) === document.activeElement);
  const next = VIEWS[(at + step + VIEWS.length) % VIEWS.length];
  location.hash = next;
  element(`tab-${next}`).focus();
});
addEventListener("hashchange", route);
element("forget").addEventListener("click", async () => {
  await learn.forget();
  element("adapter").textContent = "The saved run is forgotten.";
});
element("look-at-it").addEventListener("click", () =>
  learn.guarded(async () => {
    const bytes = await learn.model();
    location.hash = "look";
    await look.useModel("trained in Learn", bytes);
  }),
);

function without(reason) {
  element("no-gpu").dataset.reason = reason;
  element("no-gpu-reason").textContent = reason;
  element("adapter").textContent = "No GPU: see what to do in Learn or Look.";
  element("limits").textContent = "none";
  route();
}

async function start() {
  if (!navigator.gpu || options.has("no-webgpu")) {
    const secure = isSecureContext ? "" : " The page was not loaded over https:.";
    return without(`navigator.gpu is missing.${secure}`);
  }
  opened = await open();
  const { adapter } = opened;
  const software = adapter.isSoftware ? ", a software driver instead of a GPU: slow" : "";
  element("adapter").textContent = `Running on ${adapter.name}${software}.`;
  element("limits").replaceChildren(
    ...Object.entries(adapter.limits).flatMap(([name, value]) => [
      make("dt", { textContent: name }),
      make("dd", { textContent: value.toLocaleString("en") }),
    ]),
  );
  look.open(opened.methods);
  await learn.open();
  route();
}

const ready = start()
  .catch((error) => without(error.message))
  .then(() => true);
route();

// For tests, and for the console.
window.saliq = {
  ready,
  get adapter() {
    return opened?.adapter;
  },
  // Trains to the end: `{steps: [{step, loss, ce, kl, accuracy}], model}`. `settings` are those of
  // `train`, which has the defaults of what is left out; images are `mnist-mini`.
  async train(settings = {}) {
    const steps = await learn.trainWith(settings);
    return { steps, model: "trained" };
  },
  // `{logits, prediction, map, shape}` of an image (`index` of a test image, or pixels 0..255).
  explain: (request) => look.explain(request),
  check: (text) => checker.call("check", text),
  translate: (text) => checker.call("translate", text),
  // Loses the device, as a driver's reset does.
  lose: () => gpu.call("lose"),
  // A run whose device is lost on the way.
  async trainWithLoss(settings) {
    await learn.begin(settings);
    await learn.keep();
    const going = learn.go();
    await gpu.call("lose");
    await going;
    return learn.lines;
  },
  // The image that is looked at, and whether all models have said of it what they say.
  drawn: () => look.pixels,
  isIdle: () => !look.updating,
  // Bytes of the model that was trained last, and its figures on the test images.
  modelBytes: () => gpu.call("runModel"),
  evaluate: () => gpu.call("runEvaluation"),
  store,
};
