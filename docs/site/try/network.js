// A network that runs in this browser: pictures to candidates, as yololab/vision does it on a server.

import * as ort from "../runtime/ort.wasm.min.mjs";
import { resize } from "./resize.js";

ort.env.wasm.numThreads = 1; // more need headers that a plain web server does not send

const RUNTIME = new URL("../runtime/", import.meta.url);
const PAD = 114; // the gray beside a picture that keeps its proportions
const BEST = 500; // candidates that are shown at most
const sessions = new Map();

/** What can be run: [{name, kind, size, confidence, labels, colors, grids}], the standard one first. */
export const known = fetch(new URL("models.json", RUNTIME)).then((response) => response.json());

/** The session of a model, loaded when it is first asked for. */
function session(name) {
  if (!sessions.has(name)) {
    const loading = ort.InferenceSession.create(new URL(`${name}.onnx`, RUNTIME).href, { executionProviders: ["wasm"] });
    loading.catch(() => sessions.delete(name));
    sessions.set(name, loading);
  }
  return sessions.get(name);
}

/** A picture as the network's input, and the part of it that the picture fills: {tensor, width, height}. */
function prepared(picture, { kind, size: [width, height] }) {
  if (kind === "darknet") {
    const tensor = new ort.Tensor("uint8", resize(picture, width, height), [1, height, width, 3]);
    return { tensor, width, height };
  }
  const ratio = Math.min(width / picture.width, height / picture.height);
  const inner = [picture.width, picture.height].map((side) => Math.max(1, Math.trunc(side * ratio)));
  const pixels = resize(picture, ...inner);
  const plane = width * height;
  const values = new Float32Array(3 * plane).fill(PAD);
  for (let y = 0; y < inner[1]; y++) {
    for (let x = 0; x < inner[0]; x++) {
      for (let channel = 0; channel < 3; channel++) {
        values[channel * plane + y * width + x] = pixels[3 * (y * inner[0] + x) + channel];
      }
    }
  }
  return { tensor: new ort.Tensor("float32", values, [1, 3, height, width]), width: inner[0], height: inner[1] };
}

/** YOLOX's numbers as rows: boxes in fractions of the picture, scores with the objectness in them (Ge et al. 2021). */
function decodeYolox(values, columns, model, frame) {
  const rows = Float32Array.from(values);
  let at = 0;
  for (const stride of [8, 16, 32]) {
    for (let y = 0; y < model.size[1] / stride; y++) {
      for (let x = 0; x < model.size[0] / stride; x++, at += columns) {
        rows[at] = ((values[at] + x) * stride) / frame.width;
        rows[at + 1] = ((values[at + 1] + y) * stride) / frame.height;
        rows[at + 2] = (Math.exp(values[at + 2]) * stride) / frame.width;
        rows[at + 3] = (Math.exp(values[at + 3]) * stride) / frame.height;
        for (let column = 5; column < columns; column++) rows[at + column] *= values[at + 4];
      }
    }
  }
  return rows;
}

/** Run a picture (ImageData): {rows: Float32Array, columns, load, ms}; the times in ms. */
async function run(picture, model) {
  const asked = performance.now();
  const network = await session(model.name);
  const started = performance.now();
  const frame = prepared(picture, model);
  const found = await network.run({ [network.inputNames[0]]: frame.tensor });
  const output = found[network.outputNames[0]];
  const columns = output.dims.at(-1);
  const rows = model.kind === "yolox" ? decodeYolox(output.data, columns, model, frame) : output.data;
  return { rows, columns, load: started - asked, ms: performance.now() - started };
}

/** Every class of every row over `floor`, highest confidence first, in the words of /v1/explain. */
function candidates(rows, columns, floor, size, model) {
  const found = [];
  for (let start = 0; start < rows.length; start += columns) {
    if (!(rows[start + 4] >= floor) || !(rows[start + 2] >= 0) || !(rows[start + 3] >= 0)) continue;
    for (let column = 5; column < columns; column++) {
      const score = rows[start + column];
      if (score >= floor && score > 0) found.push({ score, start, column });
    }
  }
  found.sort((a, b) => b.score - a.score); // stable, as the server's
  return found.slice(0, BEST).map((each) => described(rows, columns, each, size, model));
}

function described(rows, columns, { score, start, column }, { width, height }, model) {
  const [x, y, w, h] = [rows[start] * width, rows[start + 1] * height, rows[start + 2] * width, rows[start + 3] * height];
  const unclipped = [x - w / 2, y - h / 2, x - w / 2 + w, y - h / 2 + h];
  const objectness = rows[start + 4];
  const probability = (at) => Math.min(rows[start + at] / Math.max(objectness, 1e-9), 1);
  const others = Array.from({ length: columns - 5 }, (_, number) => number + 5).filter((at) => at !== column && rows[start + at] > 0)
    .sort((a, b) => probability(b) - probability(a)).slice(0, 3);
  return {
    label: model.labels[column - 5], color: model.colors[column - 5], confidence: Math.min(score, 1), objectness,
    probability: probability(column), unclipped,
    box: unclipped.map((value, at) => Math.min(Math.max(value, 0), at % 2 ? height : width)),
    others: Object.fromEntries(others.map((at) => [model.labels[at - 5], probability(at)])),
  };
}

/** For each grid of the network the objectness of its cells, in the picture's own lines and columns. */
function maps(rows, columns, model) {
  let first = 0;
  return model.grids.map(({ columns: wide, lines: high, anchors, by_anchor: byAnchor }) => {
    const row = (cell, anchor) => first + (byAnchor ? anchor * wide * high + cell : cell * anchors + anchor);
    const best = (cell) => Math.max(...Array.from({ length: anchors }, (_, anchor) => rows[row(cell, anchor) * columns + 4]));
    const grid = Array.from({ length: high }, (_, y) => Array.from({ length: wide }, (_, x) => best(y * wide + x)));
    first += wide * high * anchors;
    return grid;
  });
}

/** All that a page wants to know of a picture (ImageData). floor: candidates with less confidence are left out. */
export async function look(picture, model, floor) {
  const { rows, columns, ...times } = await run(picture, model);
  const size = { width: picture.width, height: picture.height };
  const found = candidates(rows, columns, floor, size, model);
  return { image: size, candidates: found, objectness: maps(rows, columns, model), ...times };
}
