// The installed browsers, how they start with WebGPU on a software driver, and a server of
// web/dist.

import { createReadStream, existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join, normalize, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const dist = resolve(dirname(fileURLToPath(import.meta.url)), "../dist");

const first = (...paths) => paths.find((path) => path && existsSync(path));
const LAVAPIPE = first(
  process.env.VK_ICD_FILENAMES,
  "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json",
  "/usr/share/vulkan/icd.d/lvp_icd.json",
  "/usr/share/vulkan/icd.d/lvp_icd.aarch64.json",
);

export const BROWSERS = {
  chromium: {
    program: first(
      process.env.CHROMIUM,
      "/usr/bin/chromium",
      "/usr/bin/chromium-browser",
      "/usr/bin/google-chrome",
    ),
    driver: first(
      process.env.CHROMIUM_DRIVER,
      "/usr/lib/chromium/vk_swiftshader_icd.json",
      "/usr/lib/chromium-browser/vk_swiftshader_icd.json",
      "/opt/google/chrome/vk_swiftshader_icd.json",
    ),
    options: {
      args: [
        "--no-sandbox",
        "--enable-unsafe-webgpu",
        "--use-webgpu-adapter=swiftshader",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    },
  },
  firefox: {
    program: first(process.env.FIREFOX, "/usr/bin/firefox-esr", "/usr/bin/firefox"),
    driver: LAVAPIPE,
    options: {
      browser: "firefox",
      extraPrefsFirefox: {
        "dom.webgpu.enabled": true,
        "dom.webgpu.workers.enabled": true,
        "gfx.webgpu.ignore-blocklist": true,
        "gfx.webgpu.force-enabled": true,
        "gfx.webrender.software": true,
      },
      env: { ...process.env, ...(LAVAPIPE ? { VK_ICD_FILENAMES: LAVAPIPE } : {}) },
    },
  },
};

// Seconds that the processor has worked for process `root` and those that it started, which other
// programs of a busy machine do not add to: on Linux.
export function processorSeconds(root) {
  const all = new Map();
  for (const name of existsSync("/proc/self/stat") ? readdirSync("/proc") : []) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const text = readFileSync(`/proc/${name}/stat`, "utf8");
      // Behind the program's name, which may have spaces: state, parent, …
      const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
      all.set(Number(name), { parent: Number(fields[1]), ticks: +fields[11] + +fields[12] });
    } catch {
      // It has ended.
    }
  }
  const isBelow = (id) => id === root || (all.has(id) && isBelow(all.get(id).parent));
  const own = [...all].filter(([id]) => isBelow(id));
  return own.reduce((sum, [, { ticks }]) => sum + ticks, 0) / 100;
}

const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".wasm": "application/wasm",
  ".png": "image/png",
};

// `answer` may answer a request before the files do.
export function serve(answer = () => false) {
  const server = createServer((request, response) => {
    if (answer(request, response)) return;
    const path = normalize(decodeURIComponent(request.url.split("?")[0])).replace(
      /^(\.\.[/\\])+/,
      "",
    );
    let file = join(dist, path);
    if (existsSync(file) && statSync(file).isDirectory()) file = join(file, "index.html");
    if (!existsSync(file)) return response.writeHead(404).end();
    const type = TYPES[extname(file)] ?? "application/octet-stream";
    response.writeHead(200, { "content-type": type, "cache-control": "no-store" });
    createReadStream(file).pipe(response);
  });
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done(server)));
}
