// Learning: a run that is made step by step, its curves, and the maps of fixed images.

import { drawCurves, smoothed } from "./curves.js";
import { element, make } from "./dom.js";
import { Film, withFilm } from "./film.js";
import { configuration, ofForm } from "./settings.js";
import * as store from "./store.js";

// Milliseconds that a call of the GPU takes, about; the page looks at the results in between.
const CALL = 250;
// Milliseconds between two states in the browser's memory, and between two looks at test images.
const SAVING = 5000;
// Losses of the GPU that one run is taken up after.
const LOSSES = 3;

export class Learn {
  constructor({ gpu }) {
    Object.assign(this, { gpu, films: [], lines: [], tests: [], pictures: [] });
    this.film = new Film(element("film"));
    element("settings").addEventListener("submit", (event) => {
      event.preventDefault();
      this.guarded(async () => {
        await this.begin(ofForm(element("settings")), this.init);
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
      element("learn-error").textContent = error.message;
      element("learn-error").hidden = false;
      this.show();
    } finally {
      this.buttons();
    }
  }

  async choose({ target }) {
    const [file] = target.files;
    this.init = file && { name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) };
    element("init-name").hidden = !file;
    element("init-name").textContent = file ? `The next run starts from ${file.name}.` : "";
    target.value = "";
  }

  // Takes up the run of an earlier visit, paused. The GPU is asked when it goes on.
  async open() {
    await this.claim();
    const saved = this.isKept ? await store.get("run") : undefined;
    // Of another version of the page.
    if (!saved?.pictures) return;
    this.saved = saved;
    this.take(saved);
  }

  // One tab's run is kept between visits.
  async claim() {
    this.isKept = await store.claim();
    element("not-kept").hidden = this.isKept;
  }

  async forget() {
    await this.paused();
    Object.assign(this, { saved: undefined, size: undefined, lines: [], tests: [], films: [] });
    if (this.isKept) await store.remove("run");
    this.film.show([], []);
    element("bar").value = 0;
    this.say("Nothing was trained yet.");
    this.draw();
    this.buttons();
  }

  async begin(settings, init) {
    await this.paused();
    await this.claim();
    this.isPreparing = true;
    this.buttons();
    this.say("Preparing: the kernels are linked and compiled …");
    const own = { dataset: "mnist-mini", ...settings };
    // The run before it is not on the GPU any more, whatever happens.
    this.home = undefined;
    try {
      const size = await this.ask(own, { init });
      const pictures = await Promise.all(
        size.shownImages.map((at) => this.gpu.call("image", own.dataset, at)),
      );
      const empty = { lines: [], tests: [], films: [] };
      this.take({ settings: own, size, pictures, ...empty });
      this.saved = undefined;
    } finally {
      this.isPreparing = false;
      this.buttons();
    }
  }

  async ask(settings, start) {
    const size = await this.gpu.call("begin", configuration(settings), settings.dataset, start);
    this.home = this.gpu.worker;
    return size;
  }

  take({ settings, size, pictures, lines, tests, films }) {
    Object.assign(this, { settings, size, pictures, lines, tests, films, rate: undefined });
    element("bar").value = 0;
    this.show();
    this.film.show(pictures, films);
    this.buttons();
  }

  // The run is on the GPU: from its last state, where the GPU was lost or was not asked yet.
  async loaded() {
    if (this.home && this.home === this.gpu.worker) return;
    if (!this.saved) throw new Error("The GPU was lost before a state of the run was saved.");
    this.say("Preparing: the kernels are linked and compiled …");
    const { settings, checkpoint } = this.saved;
    await this.ask(settings, { checkpoint });
    this.take(this.saved);
  }

  toggle() {
    return this.going ? this.paused() : this.go();
  }

  // Waits until no step is being made.
  async paused() {
    this.isPausing = Boolean(this.going);
    this.buttons();
    // Whoever began the steps is told of their errors.
    await this.going?.catch(() => {});
  }

  go() {
    this.isPausing = false;
    this.going ??= this.steps().finally(() => {
      this.going = undefined;
      this.buttons();
    });
    this.buttons();
    return this.going;
  }

  get isOver() {
    return this.lines.at(-1)?.step >= this.size.totalSteps;
  }

  // Makes steps until the end, or until someone pauses. A lost device costs the seconds since the
  // last saved state.
  async steps() {
    for (let lost = 0; ; lost++) {
      try {
        await this.loaded();
        return await this.train();
      } catch (error) {
        if (!error.isFatal || !this.saved || lost === LOSSES) throw error;
        this.say("The GPU was lost. Going on from the last saved state …");
      }
    }
  }

  async train() {
    let count = 1;
    let [looked, kept] = [performance.now(), performance.now()];
    if (!this.films.length) await this.look();
    while (!this.isPausing && !this.isOver) {
      const before = performance.now();
      const made = await this.gpu.call("advance", count);
      const taken = performance.now() - before;
      if (!made.length) break;
      for (const { step, loss, ce, kl, accuracy } of made)
        this.lines.push({ step, loss, ce, kl, accuracy });
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
    return this.lines;
  }

  async look() {
    const { step, maps } = await this.gpu.call("runMaps");
    this.films = withFilm(this.films, { step, maps });
    this.film.show(this.pictures, this.films);
  }

  async test() {
    const { accuracy } = await this.gpu.call("runEvaluation");
    const step = this.lines.at(-1)?.step ?? 0;
    this.tests = [...this.tests.filter(([at]) => at !== step), [step, accuracy]];
  }

  async keep() {
    const checkpoint = await this.gpu.call("runCheckpoint");
    const { settings, size, pictures, tests, films } = this;
    this.saved = { settings, size, pictures, tests, films, checkpoint, lines: [...this.lines] };
    if (this.isKept) await store.set("run", this.saved);
  }

  // The model file of this moment. Calls of a run that goes on come between its steps.
  async model() {
    if (!this.going) await this.loaded();
    return this.gpu.call("runModel");
  }

  async download() {
    const bytes = await this.model();
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

  buttons() {
    const isBusy = this.isPreparing || (this.going && this.isPausing);
    element("train").disabled = Boolean(isBusy);
    element("train").textContent = this.size ? "Train anew" : "Train";
    element("pause").disabled = isBusy || !this.size || (this.isOver && !this.going);
    element("pause").textContent = this.going ? "Pause" : "Go on";
    for (const id of ["save-model", "look-at-it"])
      element(id).disabled = Boolean(this.isPreparing) || !this.size;
  }
}
