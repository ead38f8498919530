// Learning: a run that is made step by step, its curves, and the maps of fixed images.

import { drawCurves, smoothed } from "./curves.js";
import { element, make } from "./dom.js";
import { drawMap, drawPicture } from "./maps.js";
import * as store from "./store.js";

// Names of settings in a configuration file by those of the page's callers.
const KEYS = {
  dataset: "dataset",
  bits: "bits",
  steps: "steps",
  batchSize: "batch-size",
  sgt: "sgt",
  lambda: "lambda",
  maskRatio: "mask-ratio",
  optimizer: "optimizer",
  lr: "lr",
  seed: "seed",
  schedule: "schedule",
};
const TEXTS = ["dataset", "bits", "optimizer", "schedule"];

// Milliseconds that a call of the GPU takes, about; the page looks at the results in between.
const CALL = 250;
// Milliseconds between two states in the browser's memory, and between two looks at test images.
const SAVING = 5000;
// Columns of the filmstrip: when there are more, every second one goes.
const MOMENTS = 12;
const MAP_SIDES = [1, 28, 28];
const PIXELS = 28 * 28;

// The text of a configuration file. The rest is as `train` has it.
function configuration(settings) {
  const value = (name, own) => (TEXTS.includes(name) ? JSON.stringify(String(own)) : String(own));
  const number = (name, text) =>
    ["lambda", "maskRatio", "lr"].includes(name) && /^\d+$/.test(text) ? `${text}.0` : text;
  const lines = Object.entries(settings).map(([name, own]) => {
    if (!KEYS[name]) throw new Error(`there is no setting ${name}`);
    return `${KEYS[name]} = ${number(name, value(name, own))}`;
  });
  return `${lines.join("\n")}\n`;
}

export class Learn {
  constructor({ gpu, reopen }) {
    Object.assign(this, { gpu, reopen, state: "idle", films: [], lines: [], tests: [] });
    element("settings").addEventListener("submit", (event) => {
      event.preventDefault();
      this.guarded(async () => {
        await this.begin(this.formSettings(), this.init);
        await this.go();
      });
    });
    element("pause").addEventListener("click", () => this.guarded(() => this.toggle()));
    element("save-model").addEventListener("click", () => this.guarded(() => this.download()));
    element("init").addEventListener("change", (event) => this.guarded(() => this.choose(event)));
    const resized = new ResizeObserver(() => this.draw());
    resized.observe(element("losses"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  // Shows what an action has failed with.
  async guarded(action) {
    element("learn-error").hidden = true;
    try {
      return await action();
    } catch (error) {
      this.state = this.size ? "paused" : "idle";
      element("learn-error").textContent = error.message;
      element("learn-error").hidden = false;
      this.buttons();
    }
  }

  formSettings() {
    const form = new FormData(element("settings"));
    const settings = { schedule: "one-cycle", sgt: form.has("sgt") };
    for (const [name, key] of Object.entries(KEYS)) {
      const own = form.get(key);
      if (name !== "sgt" && own) settings[name] = own;
    }
    return settings;
  }

  async choose({ target }) {
    const [file] = target.files;
    this.init = file && new Uint8Array(await file.arrayBuffer());
    element("init-name").hidden = !file;
    element("init-name").textContent = file ? `The next run starts from ${file.name}.` : "";
    target.value = "";
  }

  // Takes up the run of an earlier visit, paused.
  async open() {
    const saved = await store.get("run");
    if (!saved) return;
    try {
      await this.resume(saved);
      this.say(
        `The run of an earlier visit, at step ${this.size.step} of ${this.size.totalSteps}.`,
      );
    } catch {
      await store.remove("run");
    }
  }

  async forget() {
    this.state = "idle";
    this.size = undefined;
    await store.remove("run");
    this.buttons();
    this.say("Nothing was trained yet.");
  }

  async begin(settings, init) {
    await this.paused();
    const dataset = settings.dataset ?? "mnist-mini";
    this.say("Preparing: the kernels are linked and compiled …");
    this.size = await this.gpu.call(
      "begin",
      configuration({ ...settings, dataset }),
      dataset,
      init,
    );
    Object.assign(this, { settings, dataset, lines: [], tests: [], films: [], state: "paused" });
    await this.takePictures();
    this.draw();
    this.buttons();
  }

  async resume({ settings, dataset, lines, tests, films, checkpoint }) {
    const text = configuration({ ...settings, dataset });
    this.size = await this.gpu.call("begin", text, dataset, undefined, checkpoint);
    const { step } = this.size;
    Object.assign(this, { settings, dataset, state: "paused" });
    this.lines = lines.filter((line) => line.step <= step);
    this.tests = tests.filter(([at]) => at <= step);
    this.films = films.filter((film) => film.step <= step);
    await this.takePictures();
    this.draw();
    this.showFilm();
    this.buttons();
  }

  async takePictures() {
    const images = this.size.shownImages.map((at) => this.gpu.call("image", this.dataset, at));
    this.pictures = await Promise.all(images);
  }

  toggle() {
    if (this.state === "running") return this.paused();
    return this.go();
  }

  // Waits until no step is being made.
  async paused() {
    if (this.state === "running") this.state = "pausing";
    await this.going;
  }

  go() {
    this.going = this.steps().finally(() => (this.going = undefined));
    return this.going;
  }

  get isOver() {
    return this.lines.at(-1)?.step >= this.size.totalSteps;
  }

  // Makes steps until the end, or until someone pauses. A lost device costs the seconds since the
  // last saved state.
  async steps() {
    this.state = "running";
    this.buttons();
    let lost = 0;
    for (;;) {
      try {
        await this.train();
        break;
      } catch (error) {
        const saved = this.saved;
        if (error.name !== "DeviceLost" || !saved || ++lost > 3) {
          this.state = "paused";
          throw error;
        }
        this.say("The GPU was lost. Going on from the last saved state …");
        this.gpu.stop();
        await this.reopen();
        await this.resume(saved);
        this.state = "running";
        this.buttons();
      }
    }
    this.state = "paused";
    this.buttons();
  }

  async train() {
    let count = 1;
    let [looked, kept] = [performance.now(), performance.now()];
    if (!this.films.length) await this.look();
    while (this.state === "running" && !this.isOver) {
      const before = performance.now();
      const made = await this.gpu.call("advance", count);
      const taken = performance.now() - before;
      if (!made.length) break;
      this.lines.push(...made);
      this.rate = (this.size.batchSize * made.length * 1000) / taken;
      count = Math.max(1, Math.min(16, Math.round((count * CALL) / taken)));
      this.show();
      // Maps are dear in the beginning and worth it: they change fastest then.
      const now = performance.now();
      if (now - looked > Math.min(SAVING, 1000 + 20 * this.lines.length)) {
        await this.look();
        looked = performance.now();
      }
      if (now - kept > SAVING) {
        await this.keep();
        kept = performance.now();
      }
    }
    await this.look();
    await this.test();
    await this.keep();
    this.show();
  }

  // Steps of callers that want nothing but the lines.
  async trainWith(settings) {
    await this.begin(settings);
    await this.go();
    return this.lines.map(({ step, loss, ce, kl, accuracy }) => ({ step, loss, ce, kl, accuracy }));
  }

  async look() {
    const { step, maps } = await this.gpu.call("runMaps");
    this.films = this.films.filter((film) => film.step !== step);
    this.films.push({ step, maps });
    if (this.films.length > MOMENTS) {
      const last = this.films.length - 1;
      this.films = this.films.filter((_, at) => at % 2 === 0 || at === last);
    }
    this.showFilm();
  }

  async test() {
    const { accuracy } = await this.gpu.call("runEvaluation");
    const { step } = this.lines.at(-1) ?? this.size;
    this.tests = [...this.tests.filter(([at]) => at !== step), [step, accuracy]];
  }

  async keep() {
    const checkpoint = await this.gpu.call("runCheckpoint");
    const { settings, dataset, lines, tests, films } = this;
    this.saved = { settings, dataset, tests, checkpoint, lines: [...lines], films: [...films] };
    await store.set("run", this.saved);
  }

  async download() {
    const bytes = await this.gpu.call("runModel");
    const href = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
    const link = make("a", { href, download: "model.safetensors" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(href), 60_000);
  }

  say(text) {
    element("progress").textContent = text;
  }

  show() {
    const last = this.lines.at(-1);
    if (last) {
      const percent = (share) => `${(100 * share).toFixed(1)} %`;
      const tested = this.tests.at(-1);
      const test = tested ? `, test accuracy ${percent(tested[1])} after step ${tested[0]}` : "";
      const rate = this.rate ? `, ${this.rate.toFixed(0)} images/s` : "";
      this.say(
        `Step ${last.step} of ${this.size.totalSteps}: loss ${last.loss.toFixed(3)}` +
          ` (CE ${last.ce.toFixed(3)}, KL ${last.kl.toFixed(3)}),` +
          ` accuracy ${percent(last.accuracy)}${test}${rate}`,
      );
      element("bar").value = last.step / this.size.totalSteps;
    }
    this.draw();
  }

  draw() {
    const of = (key, factor = 1) =>
      smoothed(this.lines.map((line) => [line.step, factor * line[key]]));
    const end = this.size?.totalSteps ?? 1;
    const losses = [
      { name: "loss", color: "--one", points: of("loss") },
      { name: "CE", color: "--two", points: of("ce") },
      { name: "KL", color: "--three", points: of("kl") },
    ];
    drawCurves(element("losses"), losses, end);
    const tests = this.tests.map(([step, share]) => [step, 100 * share]);
    const accuracies = [
      { name: "training", color: "--two", points: of("accuracy", 100) },
      { name: "test", color: "--one", points: tests, isDots: true },
    ];
    drawCurves(element("accuracies"), accuracies, end);
    const last = this.lines.at(-1);
    if (!last) return;
    const first = this.lines[0];
    element("losses").setAttribute(
      "aria-label",
      `Loss from ${first.loss.toFixed(2)} at step ${first.step} to ${last.loss.toFixed(2)} at` +
        ` step ${last.step}`,
    );
    element("accuracies").setAttribute(
      "aria-label",
      `Accuracy of training batches from ${(100 * first.accuracy).toFixed(0)} % to` +
        ` ${(100 * last.accuracy).toFixed(0)} %`,
    );
  }

  showFilm() {
    const table = element("film");
    const row = (cells) => {
      const made = make("tr");
      made.append(...cells);
      return made;
    };
    const head = (text) => make("th", { textContent: text });
    const cell = (draw, label) => {
      const [made, canvas] = [make("td"), make("canvas")];
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", label);
      draw(canvas);
      made.append(canvas);
      return made;
    };
    const rows = this.pictures.map(({ pixels, name }, index) => {
      const picture = cell((own) => drawPicture(own, pixels, MAP_SIDES), `Test image: ${name}`);
      const maps = this.films.map(({ step, maps: all }) => {
        const map = all.subarray(index * PIXELS, (index + 1) * PIXELS);
        return cell((own) => drawMap(own, map, MAP_SIDES), `Map of ${name} after step ${step}`);
      });
      return row([picture, ...maps]);
    });
    const titles = [head("image"), ...this.films.map(({ step }) => head(`step ${step}`))];
    const [top, body] = [make("thead"), make("tbody")];
    top.append(row(titles));
    body.append(...rows);
    table.replaceChildren(table.caption, top, body);
  }

  buttons() {
    const isRunning = this.state === "running";
    element("pause").disabled = !this.size || (this.isOver && !isRunning);
    element("pause").textContent = isRunning ? "Pause" : "Go on";
    element("save-model").disabled = !this.size;
    element("train").textContent = this.size ? "Train anew" : "Train";
  }
}
