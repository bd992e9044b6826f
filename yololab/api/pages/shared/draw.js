// Everything that is painted on a canvas. Reads the scene, changes nothing in it.

import { group } from "./verdicts.js";

const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const HEAT = [0.4, 0.8]; // opacity of the map where objectness is 0 and 1: the picture stays in sight
const RIM = "rgb(0 0 0 / 0.55)"; // keeps bright lines visible on bright pictures
const TAG = { font: "600 12px system-ui, sans-serif", height: 18, pad: 5 };
const STYLE = {
  detected: { dash: [], width: 2, alpha: () => 1, rim: 2 },
  suppressed: { dash: [7, 5], width: 2, alpha: () => 0.85, rim: 1 },
  below: { dash: [2, 3], width: 1, alpha: (confidence) => 0.08 + 0.62 * Math.sqrt(confidence), rim: 0 },
};

/** Black or white, whichever can be read on the color (WCAG 2, relative luminance). */
function ink(background) {
  const [r, g, b] = [1, 3, 5].map((at) => (parseInt(background.slice(at, at + 2), 16) / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

function viridis(value) {
  const at = Math.min(Math.max(value, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return VIRIDIS[low].map((from, channel) => from + (VIRIDIS[low + 1][channel] - from) * (at - low));
}

/** Several grids as one: the best objectness of the cells that cover a place, in the finest grid's cells. */
export function together(grids) {
  const [lines, columns] = [Math.max(...grids.map((grid) => grid.length)), Math.max(...grids.map((grid) => grid[0].length))];
  const at = (grid, row, column) =>
    grid[Math.floor((row * grid.length) / lines)][Math.floor((column * grid[0].length) / columns)];
  const best = (row, column) => Math.max(...grids.map((grid) => at(grid, row, column)));
  return Array.from({ length: lines }, (_, row) => Array.from({ length: columns }, (_, column) => best(row, column)));
}

/** A grid of values in [0, 1] as a canvas of one pixel a cell, to be scaled up. */
export function heatmap(grid) {
  const canvas = Object.assign(document.createElement("canvas"), { width: grid[0].length, height: grid.length });
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  grid.flat().forEach((value, cell) => image.data.set([...viridis(value), 255 * (HEAT[0] + (HEAT[1] - HEAT[0]) * value)], 4 * cell));
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Width and height of an element in CSS pixels; of a canvas that is in no page, its own. */
const extent = (element) =>
  element.isConnected ? [element.clientWidth, element.clientHeight] : [element.width, element.height];

/** Give a canvas the pixels that it covers on this screen; its context, in CSS pixels, cleared. */
function prepare(canvas) {
  const ratio = canvas.isConnected ? window.devicePixelRatio || 1 : 1;
  const [width, height] = extent(canvas);
  const pixels = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) [canvas.width, canvas.height] = pixels;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** Where a picture lies in an element that shows it whole (object-fit: contain), CSS pixels. */
export function placed(element, size) {
  const [inside, high] = extent(element);
  const scale = Math.min(inside / size.width, high / size.height);
  const [width, height] = [size.width * scale, size.height * scale];
  return { scale, width, height, left: (inside - width) / 2, top: (high - height) / 2 };
}

/** The scene of detections alone, as the API answers them. size: of their picture. */
export function sceneOf(detections, size) {
  const candidates = detections.map(({ box, ...each }) => ({ ...each, box: [box.x1, box.y1, box.x2, box.y2] }));
  const fates = candidates.map(() => ({ verdict: "detected", suppressor: null, overlap: null }));
  return { size, candidates, fates, shown: new Set(["detected"]), focus: null, heat: null };
}

/**
 * Boxes and heat map over the picture.
 * scene: {size, candidates, fates, shown: Set of groups, focus: number or null, heat: canvas or null}
 */
export function paint(canvas, scene) {
  const context = prepare(canvas);
  const place = placed(canvas, scene.size);
  context.imageSmoothingEnabled = false; // a cell is a cell, a dash is a dash
  if (scene.heat) {
    context.drawImage(scene.heat, place.left, place.top, place.width, place.height);
  }
  const marked = scene.focus === null ? [] : [scene.fates[scene.focus].suppressor, scene.focus].filter((n) => n !== null);
  const faded = marked.length ? 0.3 : 1;
  const groups = { below: [], suppressed: [], detected: [] };
  scene.fates.forEach((fate, number) => {
    if (scene.shown.has(group(fate)) && !marked.includes(number)) groups[group(fate)].push(number);
  });
  for (const numbers of Object.values(groups)) {
    for (const number of numbers.toReversed()) outline(context, place, scene, number, faded, 0); // the surest on top
  }
  for (const number of marked) outline(context, place, scene, number, 1, 2);
  const taken = [];
  for (const number of marked.toReversed()) tag(context, place, scene, number, taken, `#${number + 1} `);
  if (!marked.length) groups.detected.forEach((number) => tag(context, place, scene, number, taken, ""));
}

function outline(context, place, scene, number, faded, extra) {
  const { color, confidence, box } = scene.candidates[number];
  const { dash, width, alpha, rim } = STYLE[group(scene.fates[number])];
  // whole pixels: crisp lines, which need no anti-aliasing
  const [x1, y1, x2, y2] = box.map((value, at) => Math.round((at % 2 ? place.top : place.left) + value * place.scale));
  context.globalAlpha = faded * (extra ? 1 : alpha(confidence));
  if (rim || extra) frame(context, RIM, dash, x1, y1, x2, y2, width + extra + (rim || 2));
  frame(context, color, dash, x1, y1, x2, y2, width + extra);
}

/** The four sides of a box. Filled, not stroked: dashing 500 paths takes a software renderer several frames. */
function frame(context, hue, dash, x1, y1, x2, y2, line) {
  const half = line >> 1;
  const [left, top, width, height] = [x1 - half, y1 - half, x2 - x1 + line, Math.max(y2 - y1 - line, 0)];
  context.fillStyle = dashed(context, hue, dash, 0, left);
  for (const y of [top, y2 - half]) context.fillRect(left, y, width, line);
  context.fillStyle = dashed(context, hue, dash, 1, top);
  for (const x of [left, x2 - half]) context.fillRect(x, top + line, line, height);
}

const patterns = new Map();
/** A fill that is dashed from left to right (axis 0) or downwards (1) from `start`. dash: [drawn, left out], px, or none. */
function dashed(context, hue, dash, axis, start) {
  if (!dash.length) return hue;
  const key = `${hue} ${dash} ${axis}`;
  if (!patterns.has(key)) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = axis ? [1, dash[0] + dash[1]] : [dash[0] + dash[1], 1];
    const inside = canvas.getContext("2d");
    inside.fillStyle = hue;
    inside.fillRect(0, 0, axis ? 1 : dash[0], axis ? dash[0] : 1);
    patterns.set(key, context.createPattern(canvas, "repeat"));
  }
  const pattern = patterns.get(key);
  pattern.setTransform(axis ? { f: start } : { e: start });
  return pattern;
}

/** A tag where it hides no other one; none where there is no such place: the table has them all. `taken` grows by it. */
function tag(context, place, scene, number, taken, prefix) {
  const { color, label, confidence, box } = scene.candidates[number];
  const text = `${prefix}${label} ${Math.round(confidence * 100)} %`;
  context.font = TAG.font;
  const [width, height] = [textWidth(context, text) + 2 * TAG.pad, TAG.height];
  const [x1, y1, x2, y2] = box.map((value, at) => (at % 2 ? place.top : place.left) + value * place.scale);
  const [right, bottom] = [x2 - width, y2 - height];
  const corners = [
    [x1, y1 - height], [right, y1 - height], [x1, y1], [right, y1], [x1, bottom], [right, bottom], [x1, y2], [right, y2],
    [x1, y1 + height], [right, y1 + height],
  ];
  const spots = corners.map(([x, y]) => [
    Math.min(Math.max(x - 1, 0), extent(context.canvas)[0] - width),
    Math.min(Math.max(y, 0), extent(context.canvas)[1] - height),
  ]);
  const free = ([x, y]) => taken.every((t) => x >= t.x + t.width || t.x >= x + width || y >= t.y + height || t.y >= y + height);
  const spot = spots.find(free) ?? (prefix ? spots[0] : null);
  if (!spot) return;
  const [x, y] = spot;
  taken.push({ x, y, width });
  context.globalAlpha = 1;
  context.fillStyle = color;
  context.fillRect(x, y, width, height);
  context.fillStyle = ink(color);
  context.textBaseline = "middle";
  context.fillText(text, x + TAG.pad, y + height / 2 + 0.5);
}

const widths = new Map(); // measuring text is the slowest part of a tag
function textWidth(context, text) {
  if (!widths.has(text)) widths.set(text, context.measureText(text).width);
  return widths.get(text);
}

/** A tick for each candidate above the slider, where the middle of its thumb would stand. */
export function paintStrip(canvas, candidates, thumb) {
  const context = prepare(canvas);
  context.globalAlpha = 0.75;
  for (const { color, confidence } of candidates.toReversed()) {
    context.fillStyle = color;
    context.fillRect(thumb / 2 + confidence * (canvas.clientWidth - thumb) - 0.75, 3, 1.5, canvas.clientHeight - 6);
  }
}

/** The colors of the heat map. */
export function paintScale(canvas) {
  const context = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x++) {
    context.fillStyle = `rgb(${viridis(x / (canvas.width - 1)).join(" ")})`;
    context.fillRect(x, 0, 1, canvas.height);
  }
}

/** Values as a line from left to right, 0 at the bottom; returns the round number at the top. */
export function paintLine(canvas, values) {
  const context = prepare(canvas);
  const [width, height] = extent(canvas);
  const most = roundUp(Math.max(...values, 1));
  const color = getComputedStyle(canvas).color;
  const at = (value, number) => [(number / Math.max(values.length - 1, 1)) * width, height - 2 - (value / most) * (height - 6)];
  context.beginPath();
  values.forEach((value, number) => context.lineTo(...at(value, number)));
  context.globalAlpha = 1;
  context.strokeStyle = color;
  context.lineWidth = 2;
  context.lineJoin = "round";
  context.stroke();
  context.lineTo(width, height);
  context.lineTo(0, height);
  context.globalAlpha = 0.15;
  context.fillStyle = color;
  context.fill();
  return most;
}

/** The next of 1, 2, 5, 10, 20, 50 ... */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((each) => each >= value);
}
