// The settings of a run, as callers of the page, its form and a configuration file have them.

const TEXTS = ["dataset", "bits", "weightQuant", "actQuant", "optimizer", "schedule"];
const FLAGS = ["sgt"];
// The rest of a file's numbers has no fraction.
const FLOATS = ["lambda", "maskRatio", "lr"];
const NUMBERS = ["steps", "batchSize", "seed"];

// `maskRatio` is `mask-ratio` in the form and in a file.
const key = (name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

function written(name, value) {
  if (TEXTS.includes(name)) return JSON.stringify(String(value));
  if (FLAGS.includes(name)) return String(Boolean(value));
  const isFloat = FLOATS.includes(name);
  if (!isFloat && !NUMBERS.includes(name)) throw new Error(`there is no setting ${name}`);
  const number = Number(value);
  if (!Number.isFinite(number)) throw new Error(`${key(name)}: ${value} is no number`);
  // TOML tells 1.0 from 1.
  return isFloat && Number.isInteger(number) && number < 1e15 ? `${number}.0` : String(number);
}

// The text of a configuration file. What it leaves out is as `train` has it.
export function configuration(settings) {
  const lines = Object.entries(settings).map(
    ([name, value]) => `${key(name)} = ${written(name, value)}\n`,
  );
  return lines.join("");
}

// The settings that a form says.
export function ofForm(form) {
  const own = new FormData(form);
  const settings = { schedule: "one-cycle" };
  for (const name of FLAGS) settings[name] = own.has(key(name));
  for (const name of [...TEXTS, ...FLOATS, ...NUMBERS]) {
    const value = own.get(key(name));
    if (value !== null) settings[name] = value;
  }
  // One name for weights and activations.
  const quantizer = own.get("quantizer");
  if (quantizer) settings.weightQuant = settings.actQuant = quantizer;
  return settings;
}
