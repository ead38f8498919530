// Curves on a canvas: a line a series, over steps.

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Round numbers from 0 to at least `highest`.
function ticks(highest) {
  const raw = highest / 4 || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((own) => own >= raw);
  return Array.from({ length: Math.ceil(highest / step - 1e-9) + 1 }, (_, at) => at * step);
}

// `series`: {name, color (a custom property), points: [[x, y], …], isDots}. The axis goes to `end`
// or further.
export function drawCurves(canvas, series, end) {
  const ratio = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width) return;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.font = "12px system-ui, sans-serif";
  const [left, right, top, bottom] = [40, width - 8, 24, height - 22];
  const all = series.flatMap((one) => one.points);
  const highest = all.length ? Math.max(1e-6, ...all.map(([, y]) => y)) : 1;
  const rows = ticks(Math.min(highest, 1e6));
  const topmost = rows[rows.length - 1];
  const last = Math.max(end, 1, ...all.map(([x]) => x));
  const x = (value) => left + (value / last) * (right - left);
  const y = (value) => bottom - (value / topmost) * (bottom - top);
  context.fillStyle = style("--muted");
  context.strokeStyle = style("--line");
  context.lineWidth = 1;
  context.textAlign = "right";
  for (const row of rows) {
    context.beginPath();
    context.moveTo(left, y(row));
    context.lineTo(right, y(row));
    context.stroke();
    context.fillText(String(+row.toPrecision(3)), left - 6, y(row) + 4);
  }
  context.fillText(`step ${last}`, right, bottom + 16);
  context.textAlign = "left";
  context.fillText("0", left, bottom + 16);
  let place = left;
  for (const { name, color, points, isDots } of series) {
    context.strokeStyle = context.fillStyle = style(color);
    context.fillText(name, place, 14);
    place += context.measureText(name).width + 16;
    context.lineWidth = 1.5;
    context.beginPath();
    // No more points than can be told apart.
    const stride = isDots ? 1 : Math.ceil(points.length / width);
    points.forEach(([at, value], index) => {
      if (index % stride && index !== points.length - 1) return;
      const [px, py] = [x(at), Math.max(top - 4, y(value))];
      if (isDots) {
        context.moveTo(px + 3, py);
        context.arc(px, py, 3, 0, 7);
      } else if (index) context.lineTo(px, py);
      else context.moveTo(px, py);
    });
    if (isDots) context.fill();
    else context.stroke();
  }
}

// A mean that forgets: what is seen of a noisy series.
export function smoothed(points, share = 0.85) {
  let mean;
  return points.map(([x, y]) => {
    mean = mean === undefined ? y : share * mean + (1 - share) * y;
    return [x, mean];
  });
}
