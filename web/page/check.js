// Checking: diagnostics of a shader, and what it becomes in other languages.

import { arrow, element, make } from "./dom.js";

const SAMPLE = `// A barrier must be reached by all invocations of a workgroup or by none.
@group(0) @binding(0) var<storage, read_write> values: array<f32>;
var<workgroup> shared_values: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
    shared_values[lane] = values[id.x];
    if (values[id.x] > 0.0) {
        workgroupBarrier();
    }
    values[id.x] = shared_values[63u - lane];
}
`;
// Milliseconds without a key before a text is checked.
const PAUSE = 300;

export class Check {
  constructor({ checker }) {
    Object.assign(this, { checker, language: "SPIR-V", translations: [] });
    const source = element("source");
    source.value = SAMPLE;
    source.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.update(), PAUSE);
    });
    element("languages").addEventListener("keydown", (event) => this.turn(event));
    element("copy").addEventListener("click", () =>
      navigator.clipboard?.writeText(element("translation").textContent),
    );
  }

  show() {
    if (!this.isShown) this.update();
    this.isShown = true;
  }

  async update() {
    const text = element("source").value;
    this.asked = text;
    try {
      const { shaders } = await this.checker.call("check", text);
      if (this.asked !== text) return;
      this.showReport(shaders[0]);
      this.translations = await this.checker.call("translate", text);
      if (this.asked === text) this.showLanguages();
    } catch (error) {
      element("verdict").textContent = error.message;
      element("findings").replaceChildren();
    }
  }

  showReport({ failed, diagnostics, needs }) {
    const errors = diagnostics.filter(({ severity }) => /error/i.test(severity)).length;
    const need = needs.length ? ` It needs: ${needs.join(", ")}.` : "";
    element("verdict").textContent = failed
      ? `The shader fails: ${errors} error${errors === 1 ? "" : "s"}.${need}`
      : `The shader passes.${need}`;
    const items = diagnostics.map(({ rule, severity, message, line, column, targets }) => {
      const item = make("li");
      if (line) {
        const textContent = `line ${line}${column ? `:${column}` : ""}`;
        const button = make("button", { type: "button", textContent });
        button.addEventListener("click", () => this.goTo(line, column ?? 1));
        item.append(button, " ");
      }
      const level = make("span", { textContent: severity.toLowerCase() });
      level.className = /error/i.test(severity) ? "Error" : "";
      const places = targets?.length ? ` (${targets.join(", ")})` : "";
      item.append(level, `: ${message} [${rule}]${places}`);
      return item;
    });
    element("findings").replaceChildren(...items);
  }

  goTo(line, column) {
    const source = element("source");
    const lines = source.value.split("\n");
    const before = lines.slice(0, line - 1).reduce((sum, own) => sum + own.length + 1, 0);
    source.focus();
    source.setSelectionRange(before + column - 1, before + lines[line - 1].length);
    source.scrollTop = ((line - 3) / lines.length) * source.scrollHeight;
  }

  showLanguages() {
    const names = this.translations.map(({ language }) => language);
    if (!names.includes(this.language)) this.language = names[0];
    const tabs = names.map((name) => {
      const tab = make("button", { type: "button", textContent: name });
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-controls", "translation");
      tab.setAttribute("aria-selected", name === this.language);
      tab.tabIndex = name === this.language ? 0 : -1;
      tab.addEventListener("click", () => {
        this.language = name;
        this.showLanguages();
      });
      return tab;
    });
    element("languages").replaceChildren(...tabs);
    const { text, reason } = this.translations.find(({ language }) => language === this.language);
    element("translation").textContent = text ?? `not translated: ${reason}`;
  }

  turn(event) {
    const step = arrow(event)?.[1];
    if (!step) return;
    const names = this.translations.map(({ language }) => language);
    this.language = names[(names.indexOf(this.language) + step + names.length) % names.length];
    this.showLanguages();
    element("languages").querySelector("[aria-selected=true]").focus();
  }
}
