// What visitors do with the page: their own files, odd settings, impatience, two tabs.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { dist } from "./browsers.mjs";
import { largest, png } from "./files.mjs";

const TOLERANCE = 1e-3;

export const progress = (page) => page.$eval("#progress", (own) => own.textContent);
const textOf = (page, id) => page.$eval(id, (own) => own.textContent);
const choose = async (page, input, path) => (await page.$(input)).uploadFile(path);

// Fills in the form.
const fill = (page, settings) =>
  page.evaluate((settings) => {
    const form = document.getElementById("settings");
    for (const [name, own] of Object.entries(settings)) form.elements[name].value = own;
  }, settings);

// Starts a run by the form.
async function begin(page, settings) {
  await fill(page, settings);
  await page.click("#train");
}

const reaches = (page, text) =>
  page.waitForFunction(
    (text) => document.getElementById("progress").textContent.startsWith(text),
    {},
    text,
  );

// Nothing is being prepared, made or saved.
const rests = (page) =>
  page.waitForFunction(
    () =>
      !document.getElementById("train").disabled &&
      document.getElementById("pause").textContent === "Go on",
  );

async function refused(page, id, words) {
  await page.waitForFunction((id) => !document.querySelector(id).hidden, {}, id);
  assert.match(await textOf(page, id), words);
}

// A run that is paused stands still, and goes on to the lines of one that was not; the next one
// starts from a file.
export async function pausing(page) {
  const own = { bits: "4,2", steps: 40, optimizer: "momentum", lr: 0.01, seed: 1 };
  const rest = { batchSize: 4, sgt: true, lambda: 1, maskRatio: 0.5, schedule: "one-cycle" };
  const { steps } = await page.evaluate((own) => window.saliq.train(own), { ...own, ...rest });
  await page.click("#tab-learn");
  await begin(page, { ...own, "batch-size": 4 });
  await page.waitForFunction(() =>
    /^Step [1-9]/.test(document.getElementById("progress").textContent),
  );
  // Twice, as impatient people do.
  await page.evaluate(() => {
    document.getElementById("pause").click();
    document.getElementById("pause").click();
  });
  await rests(page);
  const before = await progress(page);
  await new Promise((done) => setTimeout(done, 1500));
  assert.equal(await progress(page), before, "a paused run stands still");
  assert.doesNotMatch(before, /^Step 40 /);

  // A model file that is none ends nothing: the run goes on afterwards.
  await choose(page, "#init", join(dist, "style.css"));
  await page.waitForFunction(() => !document.getElementById("init-name").hidden);
  await page.click("#train");
  await refused(page, "#learn-error", /style\.css/);
  await rests(page);
  assert.equal(await progress(page), before);

  await page.click("#pause");
  await reaches(page, "Step 40 of 40");
  const loss = `loss ${steps.at(-1).loss.toFixed(3)} `;
  assert.ok((await progress(page)).includes(loss), `${await progress(page)}: not ${loss}`);
  console.log(`  paused at ${before.split(":")[0].toLowerCase()}, it went on to the same loss`);
  await rests(page);

  await choose(page, "#init", join(dist, "models/4-2.safetensors"));
  await page.waitForFunction(() =>
    document.getElementById("init-name").textContent.includes("4-2.safetensors"),
  );
  await begin(page, { steps: 1, "batch-size": 32 });
  await reaches(page, "Step 1 of 1");
  const share = Number(/ accuracy ([0-9.]+) %/.exec(await progress(page))[1]);
  assert.ok(share > 80, `a run that starts from a trained model: ${await progress(page)}`);
  await rests(page);

  // What was trained is one of the networks to look at.
  await page.click("#look-at-it");
  await shown(page, "trained in Learn");
  await page.waitForFunction(() => window.saliq.isIdle());
}

// Settings at their ends: a run, or a word that says what is wrong.
export async function extremes(page) {
  const least = { steps: 1, batchSize: 1, seed: 0 };
  const ends = [
    { batchSize: 1024, steps: 1, sgt: false },
    { ...least, lambda: 0, maskRatio: 0, seed: 2 ** 53 - 1 },
    { ...least, lambda: "1e6", maskRatio: 1, optimizer: "adadelta" },
    { ...least, lr: 1e-7, optimizer: "adam", sgt: false },
    { ...least, bits: "32", optimizer: "sgd", dataset: "fashion-mini" },
  ];
  for (const settings of ends) {
    const { steps } = await page.evaluate((own) => window.saliq.train(own), settings);
    assert.ok(steps.length === 1 && Number.isFinite(steps[0].loss), JSON.stringify(settings));
  }
  const said = await page.evaluate(
    (own) => window.saliq.train(own).catch((error) => error.message),
    { steps: 20, lr: 1e30, batchSize: 4 },
  );
  assert.match(String(said), /not a finite number/);
  console.log(`  settings at their ends: ${ends.length} runs, and “${said}”`);
}

// A network's panel has a prediction.
const shown = (page, title) =>
  page.waitForFunction(
    (title) => document.querySelector(`[aria-label="Network ${title}"] .best`),
    {},
    title,
  );

// Pictures and models of the visitor's own: what they are without the page's own files. `picture`
// has `pixels`.
export async function ownFiles(page, picture, pixels, folder, native) {
  const explained = (model) =>
    page.evaluate(async (model) => {
      const image = window.saliq.drawn();
      const { map, logits, prediction } = await window.saliq.explain({ model, image });
      return { map: Array.from(map), logits: Array.from(logits), prediction };
    }, model);
  const differ = (one, other) =>
    largest(one.map((value, place) => value - other[place])) / largest(other);
  const looksAt = (name) =>
    page.waitForFunction(
      (name) => document.getElementById("input-name").textContent.includes(name),
      {},
      name,
    );
  const drawn = () => page.evaluate(() => Array.from(window.saliq.drawn()));
  await choose(page, "#picture", picture);
  await looksAt("drawn.png");
  assert.deepEqual(await drawn(), pixels);

  // Odd pictures: one pixel, a large one with two halves, one that is transparent but for a bar,
  // and what is none.
  const odd = async (name, bytes) => {
    writeFileSync(join(folder, name), bytes);
    await choose(page, "#picture", join(folder, name));
  };
  await odd("one.png", png([40], 1, 1));
  await looksAt("one.png");
  assert.ok((await drawn()).every((own) => own === 40));
  const [width, height] = [4000, 3000];
  const halves = new Uint8Array(width * height).map((_, at) => (at % width < width / 2 ? 0 : 200));
  await odd("large.png", png(halves, width, height));
  await looksAt("large.png");
  const large = await drawn();
  assert.ok(large[28 * 14 + 3] < 8 && large[28 * 14 + 24] > 192, "the halves of a large picture");
  const bar = Array.from({ length: 28 * 28 }, (_, at) => [0, 0, 0, at % 28 === 14 ? 255 : 0]);
  await odd("alpha.png", png(bar.flat(), 28, 28, 4));
  await looksAt("alpha.png, inverted");
  assert.ok((await drawn()).every((own, at) => own === (at % 28 === 14 ? 255 : 0)));
  await odd("text.png", "no picture");
  await refused(page, "#look-error", /text\.png: not a picture/);
  await choose(page, "#picture", picture);
  await looksAt("drawn.png");

  await choose(page, "#own", join(dist, "models/2-2.safetensors"));
  await shown(page, "2-2.safetensors");
  assert.deepEqual(await explained("own"), await explained("2-2"));

  const onnx = join(folder, "float.onnx");
  const float = join(dist, "models/float.safetensors");
  native(["export", float, "--format", "onnx", "--quiet", "--out", onnx]);
  await choose(page, "#own", onnx);
  await shown(page, "float.onnx");
  const [own, packed] = [await explained("own"), await explained("float")];
  assert.equal(own.prediction, packed.prediction);
  const off = Math.max(differ(own.logits, packed.logits), differ(own.map, packed.map));
  assert.ok(off < TOLERANCE, `an ONNX file differs by ${off}`);
  console.log(`  own picture and own models: the ONNX file's differ by ${off.toExponential(1)}`);

  const text = join(folder, "notes.onnx");
  writeFileSync(text, "not a model");
  await choose(page, "#own", text);
  await refused(page, "#look-error", /notes\.onnx/);
  await shown(page, "float.onnx");

  // A GPU that is lost while someone looks is opened again.
  await page.evaluate(() => window.saliq.lose());
  await choose(page, "#picture", picture);
  await page.waitForFunction(() => window.saliq.isIdle());
  assert.deepEqual(await page.$$eval(".model .best", (all) => all.length), 5);
}

// A second tab leaves the first one's saved run alone, and says so.
export async function secondTab(page, other) {
  const said = await progress(page);
  assert.equal(await other.$eval("#not-kept", (own) => own.hidden), false);
  assert.doesNotMatch(await progress(other), /^Step/);
  await other.evaluate(() => window.saliq.train({ steps: 1, batchSize: 1 }));
  await other.close();
  const steps = await page.evaluate(async () => (await window.saliq.store.get("run")).lines.length);
  assert.match(said, new RegExp(`^Step ${steps} `));
}
