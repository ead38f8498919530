// The filmstrip: a row an image, a column a moment of training.

import { make } from "./dom.js";
import { drawMap, drawPicture } from "./maps.js";

const SHAPE = [1, 28, 28];
const PIXELS = 28 * 28;
// Columns; when there are more, every second one goes.
const MOMENTS = 12;

// With `film` added, in the place of one of the same step.
export function withFilm(films, film) {
  const made = [...films.filter(({ step }) => step !== film.step), film];
  if (made.length <= MOMENTS) return made;
  return made.filter((_, at) => at % 2 === 0 || at === made.length - 1);
}

export class Film {
  constructor(table) {
    // Drawing takes longer than a frame: a column is drawn once.
    Object.assign(this, { table, columns: new Map() });
  }

  // `pictures`: {pixels, name}; `films`: {step, maps}.
  show(pictures, films) {
    const known = this.columns;
    this.columns = new Map();
    for (const own of [pictures, ...films]) {
      const made = known.get(own);
      this.columns.set(own, made ?? (own === pictures ? images(own) : maps(own, pictures)));
    }
    const columns = [...this.columns.values()];
    const rows = Array.from({ length: pictures.length + 1 }, (_, at) => {
      const row = make("tr");
      row.append(...columns.map((cells) => cells[at]));
      return row;
    });
    const [head, body] = [make("thead"), make("tbody")];
    head.append(rows[0]);
    body.append(...rows.slice(1));
    this.table.replaceChildren(this.table.caption, head, body);
  }
}

function title(textContent) {
  const made = make("th", { textContent });
  made.scope = "col";
  return made;
}

function cell(label, draw) {
  const [made, canvas] = [make("td"), make("canvas")];
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  draw(canvas);
  made.append(canvas);
  return made;
}

const images = (pictures) => [
  title("image"),
  ...pictures.map(({ pixels, name }) =>
    cell(`Test image: ${name}`, (own) => drawPicture(own, pixels, SHAPE)),
  ),
];

const maps = ({ step, maps: all }, pictures) => [
  title(`step ${step}`),
  ...pictures.map(({ name }, index) => {
    const map = all.subarray(index * PIXELS, (index + 1) * PIXELS);
    return cell(`Map of ${name} after step ${step}`, (own) => drawMap(own, map, SHAPE));
  }),
];
