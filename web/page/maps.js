// Maps and pictures: colours, ranks, masks, and canvases that say their values.

import { arrow } from "./dom.js";

// Blue below 0, white at 0, red above: strength from 0 to 1.
function color(value) {
  const strength = Math.min(1, Math.abs(value));
  const fade = Math.round(255 * (1 - strength));
  const half = Math.round(255 - 110 * strength);
  return value >= 0 ? [half + Math.round(70 * strength), fade, fade] : [fade, fade, half + 40];
}

// What counts as full strength: the value that 1 % of the pixels exceed.
function scaleOf(map) {
  const sorted = Float32Array.from(map, Math.abs).sort();
  return sorted[Math.floor(0.99 * (sorted.length - 1))] || sorted[sorted.length - 1] || 1;
}

// Sums over the channels of [C, H, W].
export function plane(values, [channels, height, width]) {
  if (channels === 1) return values;
  const sum = new Float32Array(height * width);
  values.forEach((value, at) => (sum[at % sum.length] += value));
  return sum;
}

function paint(canvas, [, height, width], rgb) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    const [red, green, blue] = rgb(at);
    image.data[4 * at] = red;
    image.data[4 * at + 1] = green;
    image.data[4 * at + 2] = blue;
    image.data[4 * at + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

export function drawMap(canvas, map, shape) {
  const values = plane(map, shape);
  const scale = scaleOf(values);
  paint(canvas, shape, (at) => color(values[at] / scale));
}

// Pixels 0..255, [C, H, W].
export function drawPicture(canvas, pixels, shape) {
  const size = shape[1] * shape[2];
  const channel = (at, own) => pixels[at + (shape[0] === 1 ? 0 : own * size)];
  paint(canvas, shape, (at) => [channel(at, 0), channel(at, 1), channel(at, 2)]);
}

// Positions from the lowest value to the highest; ties in the order of the pixels.
function ranking(values) {
  return Uint32Array.from(values.keys()).sort((a, b) => values[a] - values[b] || a - b);
}

// The share `keep` of highest values stays; the rest becomes noise, the same for every mask.
export function masked(pixels, map, shape, keep) {
  const order = ranking(plane(map, shape));
  const made = Uint8Array.from(pixels);
  const hidden = Math.round((1 - keep) * order.length);
  let state = 1;
  const noise = Uint8Array.from(pixels, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
  for (const at of order.subarray(0, hidden)) {
    for (let channel = 0; channel < shape[0]; channel++) {
      const place = channel * order.length + at;
      made[place] = noise[place];
    }
  }
  return made;
}

function ranks(values) {
  const order = ranking(values);
  const made = new Float64Array(values.length);
  for (let from = 0; from < order.length;) {
    let to = from;
    while (to < order.length && values[order[to]] === values[order[from]]) to++;
    // Ties have their mean rank.
    for (let at = from; at < to; at++) made[order[at]] = (from + to - 1) / 2;
    from = to;
  }
  return made;
}

// Spearman's rank correlation of two maps, as `saliq compare` has it.
export function rankCorrelation(a, b) {
  const [first, second] = [ranks(a), ranks(b)];
  const mean = (a.length - 1) / 2;
  let [product, left, right] = [0, 0, 0];
  for (let at = 0; at < a.length; at++) {
    const [x, y] = [first[at] - mean, second[at] - mean];
    product += x * y;
    left += x * x;
    right += y * y;
  }
  if (left === 0 || right === 0) return left === right ? 1 : 0;
  return product / Math.sqrt(left * right);
}

// Says the value under the pointer, or under a cursor that the arrow keys move. `describe` gets row
// and column.
export function inspect(canvas, output, describe) {
  let [row, column] = [0, 0];
  const say = () => (output.textContent = describe(row, column));
  canvas.tabIndex = 0;
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const within = (at, size, count) =>
      Math.min(count - 1, Math.max(0, Math.floor((at / size) * count)));
    row = within(event.clientY - box.top, box.height, canvas.height);
    column = within(event.clientX - box.left, box.width, canvas.width);
    say();
  });
  canvas.addEventListener("pointerleave", () => (output.textContent = ""));
  canvas.addEventListener("keydown", (event) => {
    const moved = arrow(event);
    if (!moved) return;
    const [down, right] = moved;
    event.preventDefault();
    row = Math.min(canvas.height - 1, Math.max(0, row + down));
    column = Math.min(canvas.width - 1, Math.max(0, column + right));
    say();
  });
}
