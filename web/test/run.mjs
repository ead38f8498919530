// Opens web/dist in the installed browsers and compares it with the native program:
// `make web-test`.
//
//   SALIQ            the native program [../target/release/saliq, else ../target/debug/saliq]
//   BROWSERS         chromium,firefox: those to use [both, as far as they are installed]
//   CHROMIUM, FIREFOX  the browsers' programs
//   SHOTS            a folder for screenshots [web/test/shots]
//
// `page.mjs` is the short form of `make test`.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import puppeteer from "puppeteer-core";
import { BROWSERS, dist, processorSeconds, serve } from "./browsers.mjs";
import { largest, png, tensor } from "./files.mjs";
import { extremes, ownFiles, pausing, progress, secondTab } from "./visitor.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const shots = process.env.SHOTS ?? join(here, "shots");
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const saliq = [process.env.SALIQ, "../target/release/saliq", "../target/debug/saliq"]
  .filter(Boolean)
  .map((path) => (path === process.env.SALIQ ? path : resolve(here, "..", path)))
  .find(existsSync);
const TOLERANCE = 1e-3;

// What both train: Table I at (4,2), with the rest as `train` has it.
const STEPS = Number(process.env.STEPS ?? 40);
const SETTINGS = {
  dataset: "mnist-mini",
  steps: STEPS,
  bits: "4,2",
  sgt: true,
  lambda: 1,
  maskRatio: 0.5,
  optimizer: "momentum",
  seed: 3,
};

// Small batches where steps take long.
const OWN = { chromium: { batchSize: 8, lr: 0.01 }, firefox: { batchSize: 16, lr: 0.01 } };

// Quantizations beside the paper's whose models are evaluated natively.
const OTHERS = [
  { bits: "4,2", weightQuant: "lsq", actQuant: "lsq" },
  { bits: "w8a4,w4a2,8,8" },
];

const native = (args, env = {}) =>
  execFileSync(saliq, args, {
    env: { ...process.env, ...env },
    encoding: "utf8",
    maxBuffer: 1 << 28,
    stdio: ["ignore", "pipe", "inherit"],
  });

// The steps of the native program on the browser's driver and with a browser's kernels: others
// round elsewhere, and from one quantizer's level that is another on, runs go different ways.
// `driver` is the driver's file.
function expected(folder, name, { driver, settings }) {
  const out = join(folder, `native-${name}`);
  const args = [
    ["train", "--quiet", "--dataset", "mnist-mini", "--bits", settings.bits],
    ["--steps", STEPS, "--batch-size", settings.batchSize, "--lambda", settings.lambda],
    ["--mask-ratio", settings.maskRatio, "--optimizer", settings.optimizer],
    ["--lr", settings.lr, "--seed", settings.seed, "--test-limit", 10, "--out", out],
  ];
  native(args.flat().map(String), {
    VK_ICD_FILENAMES: driver,
    SALIQ_PIPELINE_CACHE: "off",
    SALIQ_DEVICE_PROFILE: "webgpu",
  });
  const lines = readFileSync(join(out, "metrics.jsonl"), "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line)).filter(({ kind }) => kind === "step");
}

async function open(browser, address) {
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  page.on("pageerror", (error) => console.error(`  page: ${error.message}`));
  page.on(
    "console",
    (said) => ["error", "warn"].includes(said.type()) && console.error(`  console: ${said.text()}`),
  );
  await page.setViewport({ width: 1200, height: 900 });
  await page.goto(address);
  assert.equal(await page.evaluate(() => window.saliq.ready), true);
  return page;
}

async function shot(page, name) {
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
}

// No rule of axe-core's is broken that it finds serious.
async function accessible(page, view) {
  await page.addScriptTag({ path: axe });
  const { violations } = await page.evaluate(() =>
    window.axe.run({ runOnly: ["wcag2a", "wcag2aa"] }),
  );
  const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  const said = serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
  assert.deepEqual(said, [], `${view} is not accessible`);
}

// The exported model has the same accuracy in the native program.
async function evaluatesAlike(page, file) {
  const evaluation = await page.evaluate(() => window.saliq.evaluate());
  const text = await page.evaluate(async () => {
    const bytes = await window.saliq.modelBytes();
    const pieces = [];
    for (let at = 0; at < bytes.length; at += 32768)
      pieces.push(String.fromCharCode(...bytes.subarray(at, at + 32768)));
    return btoa(pieces.join(""));
  });
  writeFileSync(file, Buffer.from(text, "base64"));
  const evaluated = JSON.parse(
    native(["eval", file, "--dataset", "mnist-mini", "--json", "--quiet"]),
  );
  console.log(
    `  accuracy ${evaluation.accuracy}, natively ${evaluated.accuracy};` +
      ` loss ${evaluation.loss}, ${evaluated.loss}`,
  );
  assert.ok(Math.abs(evaluation.accuracy - evaluated.accuracy) <= TOLERANCE);
  assert.ok(Math.abs(evaluation.loss - evaluated.loss) <= TOLERANCE);
}

const seconds = (from) => ((performance.now() - from) / 1000).toFixed(1);

async function test(name, { program, options, settings }, address, native_steps, folder) {
  const problems = [];
  const profile = mkdtempSync(join(tmpdir(), "saliq-profile-"));
  const launch = {
    executablePath: program,
    headless: true,
    userDataDir: profile,
    protocolTimeout: 0,
    ...options,
  };
  const browser = await puppeteer.launch(launch);
  try {
    let page = await open(browser, address);
    const adapter = await page.evaluate(() => window.saliq.adapter);
    assert.ok(
      adapter,
      `${name}: no adapter: ${await page.$eval("#no-gpu-reason", (own) => own.textContent)}`,
    );
    console.log(`${name} ${await browser.version()}: ${adapter.name}`);

    // The first map, from the call on: models, data and pipelines are not there yet.
    const worked = () => processorSeconds(browser.process().pid);
    let [from, work] = [performance.now(), worked()];
    const early = await page.evaluate(() =>
      window.saliq.explain({ model: "4-2", index: 0 }).then(({ prediction }) => prediction),
    );
    const busy = (worked() - work).toFixed(1);
    console.log(`  first map after ${seconds(from)} s, ${busy} s of the processor: a ${early}`);
    assert.equal(early, 7);

    // Training: the loss falls, every line is the native program's, and frames are drawn meanwhile.
    from = performance.now();
    const { steps, gaps, tasks, taken } = await page.evaluate(async (settings) => {
      const gaps = [];
      let [last, isOver, tasks] = [performance.now(), false, 0];
      // Chromium's: what keeps the page's thread for more than 50 ms.
      if (PerformanceObserver.supportedEntryTypes.includes("longtask"))
        new PerformanceObserver((list) => (tasks += list.getEntries().length)).observe({
          type: "longtask",
        });
      const frame = (now) => {
        gaps.push(now - last);
        last = now;
        if (!isOver) requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
      const began = performance.now();
      const { steps } = await window.saliq.train(settings);
      isOver = true;
      return { steps, gaps, tasks, taken: performance.now() - began };
    }, settings);
    assert.equal(steps.length, STEPS);
    const mean = (own) => own.reduce((sum, { loss }) => sum + loss, 0) / own.length;
    if (STEPS >= 40)
      assert.ok(mean(steps.slice(-5)) < 0.8 * mean(steps.slice(0, 5)), "the loss falls");
    let worst = 0;
    steps.forEach((line, at) => {
      for (const key of ["loss", "ce", "kl", "accuracy"])
        worst = Math.max(worst, Math.abs(line[key] - native_steps[at][key]));
    });
    gaps.sort((a, b) => a - b);
    const at = (share) => gaps[Math.floor(share * (gaps.length - 1))].toFixed(0);
    console.log(
      `  ${STEPS} steps with maps and a test in ${(taken / 1000).toFixed(1)} s;` +
        ` lines differ by ${worst.toExponential(1)};` +
        ` frames: median ${at(0.5)} ms, 95 % ${at(0.95)} ms, longest ${at(1)} ms;` +
        ` tasks of more than 50 ms: ${tasks}`,
    );
    if (worst >= TOLERANCE) problems.push(`a line differs by ${worst}`);

    await evaluatesAlike(page, join(folder, `${name}.safetensors`));
    await shot(page, `${name}-learn`);
    await accessible(page, "Learn");

    // A tab that is closed loses nothing that was saved.
    await page.close();
    page = await open(browser, address);
    const said = await progress(page);
    assert.match(said, new RegExp(`^Step ${STEPS} of ${STEPS}: `));
    console.log(`  after closing the tab: ${said}`);

    // A drawn digit: a seven, by the mouse.
    await page.click("#tab-look");
    await page.waitForFunction(() => document.querySelectorAll(".model .best").length === 4);
    await page.click("#clear");
    const box = await (await page.$("#pad")).boundingBox();
    const stroke = async (...points) => {
      const [start, ...rest] = points.map(([x, y]) => [box.x + x, box.y + y]);
      await page.mouse.move(...start);
      await page.mouse.down();
      for (const point of rest) await page.mouse.move(...point, { steps: 6 });
      await page.mouse.up();
    };
    await stroke([70, 70], [205, 70], [120, 225]);
    await page.waitForFunction(() => document.querySelectorAll(".model .best").length === 4);
    const drawn = await page.evaluate(async () => {
      const image = window.saliq.drawn();
      const answers = {};
      for (const model of ["float", "4-4", "4-2", "2-2"]) {
        const { map, logits, prediction } = await window.saliq.explain({ model, image });
        answers[model] = { map: Array.from(map), logits: Array.from(logits), prediction };
      }
      return { image: Array.from(image), answers };
    });
    const picture = join(folder, "drawn.png");
    writeFileSync(picture, png(drawn.image, 28, 28));
    for (const [model, answer] of Object.entries(drawn.answers)) {
      const out = join(folder, `${name}-${model}`);
      native([
        "explain",
        join(dist, "models", `${model}.safetensors`),
        "--image",
        picture,
        "--method",
        "gradient",
        "--quiet",
        "--out",
        out,
      ]);
      const own = tensor(join(out, "attributions.safetensors"), "gradient");
      const scale = largest(own);
      const off = largest(answer.map.map((value, place) => value - own[place])) / scale;
      console.log(
        `  drawn digit, ${model}: a ${answer.prediction};` +
          ` maps differ by ${off.toExponential(1)} of the largest`,
      );
      assert.ok(off < TOLERANCE, `${model}: maps differ by ${off}`);
    }
    await page.waitForFunction(() => window.saliq.isIdle());
    await shot(page, `${name}-look`);
    await accessible(page, "Look");
    await ownFiles(page, picture, drawn.image, folder, native);

    // Methods in rounds, and the check.
    const methods = await page.evaluate(async () => {
      const made = [];
      for (const method of ["integrated-gradients", "grad-cam", "lrp", "smoothgrad"]) {
        const { map } = await window.saliq.explain({ model: "4-2", index: 1, method, samples: 8 });
        made.push([method, map.some((value) => value !== 0) && map.every(Number.isFinite)]);
      }
      return made;
    });
    assert.ok(
      methods.every(([, isMap]) => isMap),
      JSON.stringify(methods),
    );
    await page.click("#tab-check");
    await page.waitForFunction(
      () =>
        document.querySelectorAll("#findings li").length > 0 &&
        document.getElementById("translation").textContent,
    );
    const report = await page.evaluate(() => window.saliq.check("fn f() -> u32 { return 1.5; }"));
    assert.equal(report.shaders[0].failed, true);
    const languages = await page.evaluate(() =>
      window.saliq.translate("@compute @workgroup_size(1) fn main() {}"),
    );
    assert.deepEqual(
      languages.map(({ language, text }) => [language, Boolean(text)]),
      [
        ["SPIR-V", true],
        ["MSL", true],
        ["HLSL", true],
        ["GLSL", true],
      ],
    );
    await shot(page, `${name}-check`);
    await accessible(page, "Check");

    // A lost device: the run goes on from its last state.
    const resumed = await page.evaluate(() =>
      window.saliq.trainWithLoss({ steps: 12, batchSize: 4, seed: 1, lr: 0.01 }),
    );
    assert.deepEqual(
      resumed.map(({ step }) => step),
      Array.from({ length: 12 }, (_, at) => at + 1),
    );
    console.log("  a run whose device was lost goes on to its end");

    // Other quantizers, and bits of each layer, have the same accuracy natively.
    for (const [at, own] of OTHERS.entries()) {
      await page.evaluate((own) => window.saliq.train(own), { ...own, steps: 6, batchSize: 32 });
      await evaluatesAlike(page, join(folder, `${name}-${at}.safetensors`));
    }
    await extremes(page);
    await pausing(page);
    await secondTab(page, await open(browser, address));

    await page.click("#tab-about");
    await shot(page, `${name}-about`);
    await accessible(page, "About");
    await page.close();

    // Narrow and dark; without WebGPU.
    page = await open(browser, `${address}?no-webgpu`);
    await page.setViewport({ width: 360, height: 740 });
    await shot(page, `${name}-no-webgpu`);
    await accessible(page, "the page without WebGPU");
    if (name !== "firefox")
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "dark" }]);
    await page.goto(`${address}#look`);
    await page.reload();
    await page.waitForFunction(() => document.querySelectorAll(".model .best").length === 4);
    await page.waitForFunction(() => window.saliq.isIdle());
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `the page is ${overflow} pixels too wide at 360`);
    await shot(page, `${name}-look-narrow-dark`);
    await accessible(page, "Look, dark");
    assert.deepEqual(problems, []);
  } finally {
    await browser.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

if (!existsSync(join(dist, "index.html"))) throw new Error("web/dist is not there: make web");
if (!saliq)
  throw new Error("the native program is not there: cargo build, or SALIQ=…");
const wanted = (process.env.BROWSERS ?? "chromium,firefox").split(",");
const installed = wanted.filter((name) => BROWSERS[name].program);
wanted
  .filter((name) => !installed.includes(name))
  .forEach((name) => console.log(`left out: ${name} is not installed`));
const folder = mkdtempSync(join(tmpdir(), "saliq-web-"));
const server = await serve();
let failed = 0;
try {
  for (const name of installed) {
    try {
      if (!BROWSERS[name].driver) throw new Error("the driver's file was not found");
      const settings = { ...SETTINGS, ...OWN[name] };
      const own = { ...BROWSERS[name], settings };
      const steps = expected(folder, name, own);
      await test(name, own, `http://127.0.0.1:${server.address().port}/`, steps, folder);
      console.log(`${name}: ok`);
    } catch (error) {
      failed++;
      console.error(`${name}: FAILED\n${error.stack}`);
    }
  }
} finally {
  server.close();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
