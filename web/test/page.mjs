// One page in one installed browser, without any package: it starts, explains, trains two steps and
// checks a shader. `make test` runs it on web/dist as `make web` left it, or says why it cannot.
//
//   SECONDS   the most that it may take [180]: on a machine that other programs keep busy
//   BROWSERS  chromium,firefox: the first that is installed

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { BROWSERS, dist, serve } from "./browsers.mjs";

const root = resolve(dist, "../..");
const SOURCES = ["src", "shaders", "web/src", "web/page", "Cargo.lock", "web/Cargo.lock"];

// What the page does, and what it sends to this program.
const WORK = `
  const answer = await (async () => {
    const { saliq } = window;
    await saliq.ready;
    const { adapter } = saliq;
    if (!adapter) return { error: document.getElementById("no-gpu-reason").textContent };
    const { prediction } = await saliq.explain({ model: "4-2", index: 0 });
    const { steps } = await saliq.train({ steps: 2, batchSize: 8, seed: 3 });
    const { shaders } = await saliq.check("fn f() -> u32 { return 1.5; }");
    return { adapter: adapter.name, prediction, steps, isFailed: shaders[0].failed };
  })().catch((error) => ({ error: error.message }));
  await fetch("/answer", { method: "POST", body: JSON.stringify(answer) });
`;

function newest(path) {
  const found = statSync(path);
  if (!found.isDirectory()) return found.mtimeMs;
  return Math.max(...readdirSync(path).map((name) => newest(join(path, name))));
}

const names = process.env.BROWSERS?.split(",") ?? Object.keys(BROWSERS);
const installed = names.find((name) => BROWSERS[name].program);

function leftOut() {
  const program = join(dist, "saliq_bg.wasm");
  if (!existsSync(program)) return "web/dist is not there (make web)";
  if (SOURCES.some((path) => newest(join(root, path)) > statSync(program).mtimeMs))
    return "web/dist is older than its sources (make web)";
  if (!installed) return "no browser is installed";
}

// The page's answer, from a browser that is ended afterwards.
async function answerOf(name, { program, options }) {
  let answered;
  const answer = new Promise((done) => (answered = done));
  const server = await serve((request, response) => {
    if (request.method === "POST" && request.url === "/answer") {
      const pieces = [];
      request.on("data", (piece) => pieces.push(piece));
      request.on("end", () => {
        response.end();
        answered(JSON.parse(Buffer.concat(pieces).toString()));
      });
      return true;
    }
    if (request.url !== "/test.html") return false;
    const page = readFileSync(join(dist, "index.html"), "utf8");
    const script = `<script type="module">import "./main.js";${WORK}</script>`;
    response.writeHead(200, { "content-type": "text/html" });
    response.end(page.replace("</body>", `${script}</body>`));
    return true;
  });
  const profile = mkdtempSync(join(tmpdir(), "saliq-page-"));
  const address = `http://127.0.0.1:${server.address().port}/test.html`;
  const preferences = Object.entries(options.extraPrefsFirefox ?? {});
  const lines = preferences.map((own) => `user_pref(${JSON.stringify(own).slice(1, -1)});\n`);
  writeFileSync(join(profile, "user.js"), lines.join(""));
  const args = options.args
    ? ["--headless=new", `--user-data-dir=${profile}`, ...options.args]
    : ["--headless", "--no-remote", "--profile", profile];
  const browser = spawn(program, [...args, address], { stdio: "ignore", env: options.env });
  const ended = new Promise((done) => browser.on("exit", done));
  const failed = new Promise((done) => browser.on("error", done));
  const most = Number(process.env.SECONDS ?? 180);
  let timer;
  const late = new Promise((done) => {
    timer = setTimeout(() => done({ error: `no answer within ${most} s` }), 1000 * most);
  });
  const gone = { error: `${name} ended without an answer` };
  try {
    return await Promise.race([
      answer,
      late,
      ended.then(() => gone),
      failed.then((error) => ({ error: error.message })),
    ]);
  } finally {
    clearTimeout(timer);
    browser.kill();
    server.closeAllConnections();
    server.close();
    await Promise.race([ended, failed]);
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

const reason = leftOut();
if (reason) {
  console.log(`left out: the page in a browser: ${reason}`);
} else {
  const began = performance.now();
  const answer = await answerOf(installed, BROWSERS[installed]);
  assert.equal(answer.error, undefined, answer.error);
  assert.equal(answer.prediction, 7);
  assert.deepEqual(
    answer.steps.map(({ step, loss }) => [step, Number.isFinite(loss)]),
    [
      [1, true],
      [2, true],
    ],
  );
  assert.equal(answer.isFailed, true);
  const taken = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`the page in ${installed} on ${answer.adapter}: ok, ${taken} s`);
}
