// Files of the tests: pictures that are written, tensors that are read.

import { readFileSync } from "node:fs";
import { deflateSync } from "node:zlib";

function checksum(body) {
  const table = Uint32Array.from({ length: 256 }, (_, byte) => {
    let own = byte;
    for (let bit = 0; bit < 8; bit++) own = own & 1 ? (own >>> 1) ^ 0xedb88320 : own >>> 1;
    return own >>> 0;
  });
  let crc = ~0 >>> 0;
  for (const byte of body) crc = (table[(crc ^ byte) & 255] ^ (crc >>> 8)) >>> 0;
  return ~crc >>> 0;
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(checksum(body));
  return Buffer.concat([length, body, sum]);
}

// PNG's names of kinds of pixels, by their number of bytes: grey, grey and alpha, RGB, RGBA.
const KINDS = [undefined, 0, 4, 2, 6];

// A PNG of `pixels`, row by row.
export function png(pixels, width, height, channels = 1) {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head[8] = 8;
  head[9] = KINDS[channels];
  const stride = width * channels;
  const rows = Array.from({ length: height }, (_, row) =>
    Buffer.from([0, ...pixels.slice(row * stride, (row + 1) * stride)]),
  );
  return Buffer.concat([
    Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]),
    chunk("IHDR", head),
    chunk("IDAT", deflateSync(Buffer.concat(rows))),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

// A tensor of floats of a safetensors file.
export function tensor(file, name) {
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length));
  const [from, to] = header[name].data_offsets;
  return new Float32Array(
    bytes.buffer.slice(bytes.byteOffset + 8 + length + from, bytes.byteOffset + 8 + length + to),
  );
}

export const largest = (values) => values.reduce((most, one) => Math.max(most, Math.abs(one)), 0);
