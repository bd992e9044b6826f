// Where candidates and detections come from: here, a model that runs in this browser. No picture leaves the machine.
// The same functions as in the server's file of this name.

import { Problem } from "./access.js";
import { known, look } from "./network.js";
import { judge } from "./verdicts.js";

const NMS = 0.45;
const SIDE = 4096; // px: larger pictures are made smaller first, for the memory of a phone

const model = async (name) => (await known).find((each) => each.name === name) ?? (await known)[0];

/** The models' names, the one that is used unless another is asked for, and each one's own confidence threshold. */
export async function models() {
  const all = await known;
  const confidences = new Map(all.map((each) => [each.name, each.confidence]));
  return { names: [...confidences.keys()], standard: all[0].name, confidences };
}

/** Pictures to begin with: [{name, url}]. */
export async function samples() {
  const [{ samples: names }] = await known;
  return names.map((name) => ({ name, url: `images/${name}` }));
}

/** The pixels of a picture, upright, as they stand in the file. Raises a Problem. */
async function pixels(blob) {
  const options = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(blob, options).catch(() => {
    throw new Problem("This browser cannot read that file as a picture. Take a JPEG, a PNG or a WebP.");
  });
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [Math.round(bitmap.width * scale), Math.round(bitmap.height * scale)];
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}

/** A picture as the network sees it: still. */
export async function asJudged(picture) {
  const image = await pixels(picture);
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas.convertToBlob();
}

/** Every candidate in a picture, as the server's `explain` gives them. */
export async function explain(picture, name, signal) {
  const clock = [performance.now()];
  const [image, chosen] = [await pixels(picture), await model(name)];
  const decoded = performance.now() - clock[0];
  const { load, ms, ...found } = await look(image, chosen, 0);
  signal?.throwIfAborted();
  const [least, overlap] = [chosen.confidence, NMS];
  const fates = judge(found.candidates, least, overlap);
  const candidates = found.candidates.map((each, number) => ({ ...each, ...fates[number] }));
  clock.push(performance.now(), performance.now());
  const answer = { model: chosen.name, confidence: least, nms_threshold: overlap, ...found, candidates };
  const timing = `load;dur=${load.toFixed(1)}, decode;dur=${decoded.toFixed(1)}, detect;dur=${ms.toFixed(1)}`;
  return { answer, timing, clock };
}

/** A stream of frames, as the server's `stream`: the newest frame is looked at, older ones that wait are left out. */
export function stream(options, onAnswer, onEnd) {
  const chosen = { ...options };
  let [closed, busy, waiting, count, skipped] = [false, false, null, 0, 0];

  async function work() {
    busy = true;
    while (waiting && !closed) {
      const { jpeg, frame } = waiting;
      waiting = null;
      try {
        onAnswer({ frame, skipped, ...(await detect(jpeg, chosen)) });
      } catch (error) {
        onAnswer({ frame, skipped, error: { detail: error.message } });
      }
    }
    busy = false;
  }

  return {
    get ready() { return !closed; },
    send(jpeg) {
      if (waiting) skipped++;
      waiting = { jpeg, frame: ++count };
      if (!busy) work().catch((error) => onEnd(Object.assign(new Problem(error.message), { mayReturn: false })));
    },
    set: (changed) => Object.assign(chosen, changed),
    close() { closed = true; },
  };
}

async function detect(jpeg, { model: name, confidence, nms_threshold: nms }) {
  const started = performance.now();
  const [image, chosen] = [await pixels(new Blob([jpeg])), await model(name)];
  const decode = performance.now() - started;
  const least = confidence ?? chosen.confidence;
  const { candidates, image: size, ms } = await look(image, chosen, least);
  const fates = judge(candidates, least, nms ?? NMS);
  const detections = candidates.filter((_, number) => fates[number].verdict === "detected").map((each) => {
    const [x1, y1, x2, y2] = each.box;
    return { label: each.label, color: each.color, confidence: each.confidence, box: { x1, y1, x2, y2 } };
  });
  return { detections, image: size, timings: { decode, detect: ms } };
}
