// Looking: what networks say of an image, and why.

import { arrow, element, make } from "./dom.js";
import { drawMap, drawPicture, inspect, masked, plane, rankCorrelation } from "./maps.js";

// The networks of the page: titles, and what they mean.
const TITLES = {
  float: ["float", "all numbers in full"],
  "4-4": ["(4,4)", "4 bits in both convolutions"],
  "4-2": ["(4,2)", "4 and 2 bits in the convolutions"],
  "2-2": ["(2,2)", "2 bits in both convolutions"],
};
export const BUILT_IN = Object.keys(TITLES);
const SIDE = 28;
const SHAPE = [1, SIDE, SIDE];
// Side of the pad, on which a pixel is a block.
const BLOCK = 10;
const PAD = BLOCK * SIDE;
// Samples of methods that take many: first few, for a map at once, then more.
const ROUNDS = [4, 16, 50];
// Test images of the gallery.
const SHOWN = 24;

export class Look {
  constructor({ gpu }) {
    const ink = element("pad").getContext("2d", { willReadFrequently: true });
    Object.assign(this, { gpu, ink, panels: new Map(), number: 0 });
    this.blank();
    this.pen();
    for (const id of ["method", "target"]) {
      element(id).addEventListener("change", () => this.update());
    }
    element("share").addEventListener("input", () => this.showMasks());
    element("centre").addEventListener("change", () => this.fromPad());
    element("clear").addEventListener("click", () => this.clear());
    element("gallery-set").addEventListener("change", () => this.guarded(() => this.gallery()));
    element("picture").addEventListener("change", (event) =>
      this.chosen(event.target, (file) => this.picture(file)),
    );
    element("own").addEventListener("change", (event) =>
      this.chosen(event.target, (file) => this.model(file)),
    );
    this.droppable(element("look"));
  }

  chosen(input, use) {
    const [file] = input.files;
    // The same file can be chosen again.
    input.value = "";
    if (file) this.guarded(() => use(file));
  }

  // Files that are dropped on the view.
  droppable(root) {
    root.addEventListener("dragover", (event) => event.preventDefault());
    root.addEventListener("drop", (event) => {
      event.preventDefault();
      for (const file of event.dataTransfer.files) {
        const isModel = /\.(safetensors|onnx)$/i.test(file.name);
        this.guarded(() => (isModel ? this.model(file) : this.picture(file)));
      }
    });
  }

  async guarded(action) {
    element("look-error").hidden = true;
    try {
      return await action();
    } catch (error) {
      element("look-error").textContent = error.message;
      element("look-error").hidden = false;
    }
  }

  open(methods) {
    this.methods = methods;
    element("method").replaceChildren(...methods.map(({ name }) => new Option(name, name)));
    const classes = Array.from({ length: 10 }, (_, at) => new Option(at, at));
    element("target").append(...classes);
  }

  // The view is shown: models and images are fetched when someone looks.
  show() {
    this.started ??= this.guarded(async () => {
      for (const id of BUILT_IN) this.panel(id, ...TITLES[id]);
      this.images = [await this.gpu.call("image", "mnist-mini", 0)];
      // Someone may have drawn or chosen something meanwhile.
      if (!this.pixels) this.take(0);
      await this.gallery();
    });
    if (this.pixels) this.update();
  }

  // Drawing.

  blank() {
    this.ink.fillStyle = "#000";
    this.ink.fillRect(0, 0, PAD, PAD);
  }

  clear() {
    this.blank();
    this.pixels = undefined;
    element("input-name").textContent = "";
    for (const panel of this.panels.values()) panel.clear();
  }

  pen() {
    const pad = element("pad");
    const cursor = { x: PAD / 2, y: PAD / 2, isDown: false };
    let from;
    const line = (x, y) => {
      // What was a picture before becomes a drawing on black.
      if (!this.isDrawn) this.blank();
      this.isDrawn = true;
      const { ink } = this;
      ink.strokeStyle = "#fff";
      ink.lineWidth = 22;
      ink.lineCap = ink.lineJoin = "round";
      ink.beginPath();
      ink.moveTo(...(from ?? [x, y]));
      ink.lineTo(x, y + 0.01);
      ink.stroke();
      from = [x, y];
      this.fromPad();
    };
    const at = (event) => {
      const box = pad.getBoundingClientRect();
      return [
        ((event.clientX - box.left) * PAD) / box.width,
        ((event.clientY - box.top) * PAD) / box.height,
      ];
    };
    pad.addEventListener("pointerdown", (event) => {
      pad.setPointerCapture(event.pointerId);
      from = undefined;
      line(...at(event));
    });
    pad.addEventListener("pointermove", (event) => {
      if (event.buttons) line(...at(event));
    });
    pad.addEventListener("pointerup", () => (from = undefined));
    pad.addEventListener("keydown", (event) => {
      const moved = arrow(event);
      if (moved) {
        const [down, right] = moved;
        const within = (place) => Math.min(PAD - BLOCK, Math.max(BLOCK, place));
        cursor.x = within(cursor.x + BLOCK * right);
        cursor.y = within(cursor.y + BLOCK * down);
        if (cursor.isDown) line(cursor.x, cursor.y);
      } else if (event.key === " ") {
        cursor.isDown = !cursor.isDown;
        from = undefined;
        if (cursor.isDown) line(cursor.x, cursor.y);
      } else if (event.key === "Delete" || event.key === "Backspace") this.clear();
      else return;
      event.preventDefault();
      const place = `column ${cursor.x / BLOCK}, row ${cursor.y / BLOCK} of ${SIDE}`;
      element("input-name").textContent = `Pen ${cursor.isDown ? "down" : "up"}: ${place}`;
    });
  }

  // 28 × 28 bytes of the pad.
  fromPad() {
    if (!this.isDrawn) return;
    const { data } = this.ink.getImageData(0, 0, PAD, PAD);
    const ink = Float32Array.from({ length: PAD * PAD }, (_, at) => data[4 * at]);
    const pixels = element("centre").checked ? centred(ink) : shrunk(ink);
    if (!pixels) return;
    this.setImage(pixels, "what you drew");
  }

  drawOnPad(pixels) {
    this.isDrawn = false;
    const small = make("canvas");
    drawPicture(small, pixels, SHAPE);
    this.ink.imageSmoothingEnabled = false;
    this.ink.drawImage(small, 0, 0, PAD, PAD);
  }

  // A picture file: its middle square, light on dark.
  async picture(file) {
    const picture = await createImageBitmap(file).catch(() => {
      throw new Error(`${file.name}: not a picture that this browser reads`);
    });
    const canvas = make("canvas", { width: SIDE, height: SIDE });
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.fillStyle = "#fff";
    context.fillRect(0, 0, SIDE, SIDE);
    const side = Math.min(picture.width, picture.height);
    const [left, top] = [(picture.width - side) / 2, (picture.height - side) / 2];
    context.drawImage(picture, left, top, side, side, 0, 0, SIDE, SIDE);
    const { data } = context.getImageData(0, 0, SIDE, SIDE);
    const grey = Uint8Array.from({ length: SIDE * SIDE }, (_, at) =>
      Math.round(0.299 * data[4 * at] + 0.587 * data[4 * at + 1] + 0.114 * data[4 * at + 2]),
    );
    // Paper is white, MNIST is not.
    const border = grey.filter((_, at) => at % SIDE === 0 || at < SIDE);
    const isPaper = border.reduce((sum, own) => sum + own, 0) / border.length > 127;
    const pixels = isPaper ? grey.map((own) => 255 - own) : grey;
    this.drawOnPad(pixels);
    this.setImage(pixels, `${file.name}${isPaper ? ", inverted" : ""}`);
  }

  async gallery() {
    const set = element("gallery-set").value;
    const images = Array.from({ length: SHOWN }, (_, at) => this.gpu.call("image", set, at));
    this.images = await Promise.all(images);
    const buttons = this.images.map(({ pixels, name, shape }, at) => {
      const [button, canvas] = [make("button", { type: "button" }), make("canvas")];
      drawPicture(canvas, pixels, shape);
      button.setAttribute("aria-label", `Test image ${at}: ${name}`);
      button.append(canvas);
      button.addEventListener("click", () => this.take(at));
      return button;
    });
    element("gallery").replaceChildren(...buttons);
  }

  take(index) {
    const { pixels, name } = this.images[index];
    this.drawOnPad(pixels);
    this.setImage(pixels, `test image ${index}: ${name}`);
  }

  setImage(pixels, name) {
    this.pixels = pixels;
    element("input-name").textContent = `The image: ${name}`;
    this.update();
  }

  // Models.

  panel(id, title, remark) {
    this.panels.get(id)?.root.remove();
    const panel = new Panel(id, title, remark);
    this.panels.set(id, panel);
    element("models").append(panel.root);
    return panel;
  }

  async model(file) {
    await this.useModel(file.name, new Uint8Array(await file.arrayBuffer()));
  }

  // Shows the network of a model file beside the page's.
  async useModel(name, bytes) {
    const normalize = element("normalize").value.trim() || undefined;
    const ownFile = ["own", name, bytes, normalize];
    const about = await this.gpu.call("ownModel", ...ownFile);
    if (about.shape.join() !== SHAPE.join()) {
      this.gpu.call("removeModel", "own");
      throw new Error(
        `${name}: its images are ${about.shape.join(" × ")} (channels, height, width);` +
          ` here they are ${SHAPE.join(" × ")}`,
      );
    }
    this.ownFile = ownFile;
    this.panel("own", name, about.remarks.join(" "));
    this.update();
  }

  // Explains the image of this moment by all models. While that goes on, later images replace one
  // another: the last one counts.
  update() {
    this.number++;
    this.updating ??= this.guarded(() => this.explainAll()).finally(() => {
      this.updating = undefined;
    });
  }

  async explainAll() {
    let done;
    while (done !== this.number && this.pixels) {
      done = this.number;
      const method = element("method").value;
      const { samples, steps } = this.methods.find(({ name }) => name === method);
      const rounds = samples || steps ? ROUNDS : [undefined];
      for (const round of rounds) {
        for (const panel of this.panels.values()) {
          if (done !== this.number || !this.pixels) break;
          await this.explainWith(panel, method, round);
        }
      }
    }
  }

  async explainWith(panel, method, samples) {
    const pixels = this.pixels;
    const ask = async () => {
      // A worker that has replaced another knows no model yet; adding one again is quick.
      panel.about =
        panel.id === "own"
          ? await this.gpu.call("ownModel", ...this.ownFile)
          : await this.gpu.call("builtInModel", panel.id);
      const target = Number(element("target").value);
      return this.gpu.call("explain", panel.id, pixels, method, target, samples);
    };
    try {
      // A GPU that was lost is opened again.
      const said = await ask().catch((error) => {
        if (error.isFatal) return ask();
        throw error;
      });
      // The drawing was cleared meanwhile.
      if (!this.pixels) return;
      const float = this.panels.get("float");
      panel.show(said, pixels, float === panel ? undefined : float?.said);
      this.showMask(panel);
    } catch (error) {
      panel.fail(error.message);
    }
  }

  showMasks() {
    element("share-text").textContent = `${element("share").value} %`;
    for (const panel of this.panels.values()) this.showMask(panel);
  }

  showMask(panel) {
    panel.showMask(Number(element("share").value) / 100);
  }

  // For tests: {model, image | index, dataset, method, target}.
  async explain({
    model = "float",
    image,
    index = 0,
    dataset = "mnist-mini",
    method,
    target,
    samples,
  }) {
    if (model === "trained") {
      await this.gpu.call("addModel", model, "model.safetensors", await this.gpu.call("runModel"));
    } else if (model !== "own") await this.gpu.call("builtInModel", model);
    const pixels = image
      ? Uint8Array.from(image)
      : (await this.gpu.call("image", dataset, index)).pixels;
    return this.gpu.call("explain", model, pixels, method ?? "gradient", target ?? -1, samples);
  }
}

// One network: its prediction, its map, the masked image.
class Panel {
  constructor(id, title, remark) {
    Object.assign(this, { id, title });
    this.root = make("article", { className: "card model" });
    this.root.setAttribute("aria-label", `Network ${title}`);
    this.verdict = make("p", { textContent: "…" });
    this.bars = make("ul", { className: "bars" });
    this.map = make("canvas");
    this.mask = make("canvas");
    this.agreement = make("p", { className: "muted" });
    this.kept = make("figcaption");
    const pictures = make("div", { className: "pictures" });
    const picture = (canvas, caption) => {
      const made = make("figure");
      made.append(canvas, caption);
      return made;
    };
    pictures.append(
      picture(this.map, make("figcaption", { textContent: "map" })),
      picture(this.mask, this.kept),
    );
    this.root.append(
      make("h3", { textContent: title }),
      make("p", { className: "muted", textContent: remark }),
      this.verdict,
      this.bars,
      pictures,
      this.agreement,
    );
    inspect(this.map, element("value"), (row, column) => this.valueAt(row, column));
    inspect(this.mask, element("value"), (row, column) => this.valueAt(row, column));
    this.clear();
  }

  clear() {
    this.said = undefined;
    this.verdict.textContent = "no image yet";
    this.bars.replaceChildren();
    this.agreement.textContent = this.kept.textContent = "";
    for (const canvas of [this.map, this.mask]) {
      [canvas.width, canvas.height] = [SIDE, SIDE];
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${this.title}: nothing yet`);
    }
  }

  fail(message) {
    this.clear();
    this.verdict.textContent = message;
  }

  valueAt(row, column) {
    if (!this.said) return "";
    const at = row * this.said.shape[2] + column;
    const value = plane(this.said.map, this.said.shape)[at];
    const pixel = this.image[at];
    const place = `${this.title}, row ${row}, column ${column}`;
    return `${place}: map ${value.toExponential(2)}, pixel ${pixel}`;
  }

  show(said, image, float) {
    Object.assign(this, { said, image });
    const names = this.about?.classNames ?? [];
    const highest = Math.max(...said.logits);
    const exponents = Array.from(said.logits, (own) => Math.exp(own - highest));
    const sum = exponents.reduce((total, own) => total + own, 0);
    const name = (at) => names[at] ?? String(at);
    this.verdict.textContent = `${name(said.prediction)}, ${(100 * said.probability).toFixed(1)} %`;
    this.bars.replaceChildren(
      ...exponents.slice(0, 10).map((own, at) => {
        const item = make("li");
        const percent = (100 * own) / sum;
        const label = make("span", { textContent: name(at) });
        const bar = make("span", { className: "bar" });
        bar.style.width = `${percent}%`;
        const text = make("span", { textContent: `${percent.toFixed(1)} %` });
        if (at === said.prediction) item.className = "best";
        item.append(label, bar, text);
        return item;
      }),
    );
    drawMap(this.map, said.map, said.shape);
    this.map.setAttribute("aria-label", `Map of ${this.title} for class ${name(said.prediction)}`);
    const correlation =
      float && rankCorrelation(plane(said.map, said.shape), plane(float.map, said.shape));
    this.agreement.textContent =
      correlation === undefined
        ? ""
        : `Rank correlation with the float map: ${correlation.toFixed(2)}`;
  }

  showMask(keep) {
    if (!this.said) return;
    drawPicture(
      this.mask,
      masked(this.image, this.said.map, this.said.shape, keep),
      this.said.shape,
    );
    const share = `${Math.round(100 * keep)} %`;
    this.kept.textContent = `the highest ${share}`;
    this.mask.setAttribute(
      "aria-label",
      `The image with the ${share} that ${this.title} ranks highest`,
    );
  }
}

// Means of blocks: the pad as 28 × 28 bytes.
function shrunk(ink) {
  return Uint8Array.from({ length: SIDE * SIDE }, (_, at) => {
    const [row, column] = [Math.floor(at / SIDE) * BLOCK, (at % SIDE) * BLOCK];
    let sum = 0;
    for (let y = 0; y < BLOCK; y++) {
      for (let x = 0; x < BLOCK; x++) sum += ink[(row + y) * PAD + column + x];
    }
    return Math.round(sum / (BLOCK * BLOCK));
  });
}

// As MNIST was made: what is drawn in a box of 20 pixels, its centre of mass in the middle of 28.
function centred(ink) {
  let [top, left, bottom, right] = [PAD, PAD, -1, -1];
  ink.forEach((value, at) => {
    if (value < 32) return;
    const [row, column] = [Math.floor(at / PAD), at % PAD];
    [top, bottom] = [Math.min(top, row), Math.max(bottom, row)];
    [left, right] = [Math.min(left, column), Math.max(right, column)];
  });
  if (bottom < 0) return undefined;
  const longest = Math.max(bottom - top, right - left) + 1;
  const scale = Math.max(longest, PAD / 4) / 20;
  let [mass, x, y] = [0, 0, 0];
  ink.forEach((value, at) => {
    mass += value;
    x += value * (at % PAD);
    y += value * Math.floor(at / PAD);
  });
  const [middleX, middleY] = [x / mass, y / mass];
  const parts = 4;
  return Uint8Array.from({ length: SIDE * SIDE }, (_, at) => {
    let sum = 0;
    for (let part = 0; part < parts * parts; part++) {
      const row = Math.floor(at / SIDE) + ((part / parts) | 0) / parts + 0.5 / parts;
      const column = (at % SIDE) + (part % parts) / parts + 0.5 / parts;
      const sourceY = Math.floor(middleY + (row - SIDE / 2) * scale);
      const sourceX = Math.floor(middleX + (column - SIDE / 2) * scale);
      const isInside = sourceX >= 0 && sourceY >= 0 && sourceX < PAD && sourceY < PAD;
      sum += isInside ? ink[sourceY * PAD + sourceX] : 0;
    }
    return Math.round(sum / (parts * parts));
  });
}
