// Hovering or focusing a chart shows the numbers under the pointer.  The page is whole without it.
"use strict";
const SVG = "http://www.w3.org/2000/svg";

function make(parent, name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (text !== undefined) node.textContent = text;
  return parent.appendChild(node);
}

function nearest(points, x) {
  let lo = 0, hi = points.length - 1;
  while (hi - lo > 1) {
    const mid = (lo + hi) >> 1;
    if (points[mid][1] < x) lo = mid; else hi = mid;
  }
  return x - points[lo][1] < points[hi][1] - x ? points[lo] : points[hi];
}

function attach(svg) {
  const { box, lines } = JSON.parse(svg.dataset.hover);
  const layer = svg.querySelector(".crosshair");
  const [left, right, top, bottom] = box;
  let at = right;

  function clear() { layer.replaceChildren(); }

  function show(x) {
    clear();
    if (!lines.length) return;
    at = Math.min(right, Math.max(left, x));
    const found = lines.map(line => ({ line, point: nearest(line.points, at) }));
    found.sort((a, b) => Math.abs(a.point[1] - at) - Math.abs(b.point[1] - at));
    const step = found[0].point[0], px = found[0].point[1];
    const rows = lines.map(line => ({ line, point: nearest(line.points, px) }));
    make(layer, "line", { x1: px, x2: px, y1: top, y2: bottom });
    for (const { line, point } of rows)
      make(layer, "circle", { cx: point[1], cy: point[2], r: 4, class: "ink-" + line.tone });
    // a curve measured less often shows its nearest value, and says from which step
    const names = rows.map(row => row.line.name + (row.point[0] === step ? "" : " at " + row.point[0]));
    const width = 34 + 6.9 * Math.max(...rows.map((row, i) => (names[i] + row.point[3]).length), 11);
    const height = 30 + 18 * rows.length;
    const bx = px + 14 + width > right ? Math.max(0, px - 14 - width) : px + 14;
    const by = top + 6;
    make(layer, "rect", { x: bx, y: by, width, height, rx: 6 });
    make(layer, "text", { x: bx + 12, y: by + 20 }, "step " + step.toLocaleString("en-US"));
    rows.forEach((row, i) => {
      const y = by + 38 + 18 * i;
      make(layer, "text", { x: bx + 12, y, class: "who" }, names[i]);
      make(layer, "text", { x: bx + width - 12, y, "text-anchor": "end" }, row.point[3]);
    });
  }

  svg.addEventListener("pointermove", event => {
    const bounds = svg.getBoundingClientRect();
    show((event.clientX - bounds.left) * svg.viewBox.baseVal.width / bounds.width);
  });
  svg.addEventListener("pointerleave", clear);
  svg.addEventListener("blur", clear);
  svg.addEventListener("keydown", event => {
    const turn = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[event.key];
    if (event.key === "Escape") clear();
    if (turn === undefined) return;
    event.preventDefault();
    show(at + turn * (right - left) / 60);
  });
}

document.querySelectorAll("svg[data-hover]").forEach(attach);
