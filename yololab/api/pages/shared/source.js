// Where candidates and detections come from: here, this server. A page without a server, which runs the model itself,
// brings a file of the same name with the same functions; drawing, suppression and words stay as they are.

import { Problem, ask, subprotocols } from "./access.js";

/** The models' names, the one that is used unless another is asked for, and each one's own confidence threshold. */
export async function models() {
  const [welcome, known] = await Promise.all(["./", "v1/models"].map(async (url) => (await ask(url)).json()));
  const here = known.filter((each) => each.installed);
  const confidences = new Map(here.map((each) => [each.name, each.default_confidence]));
  return { names: [...confidences.keys()], standard: welcome.model, confidences };
}

/** Pictures to begin with: [{name, url}]. */
export async function samples() {
  const names = await (await ask("explore-assets/samples")).json();
  return names.map((name) => ({ name, url: `explore-assets/samples/${name}` }));
}

/**
 * Every candidate in a picture: {answer: an ExplainedPicture of the API, timing: a Server-Timing header,
 * clock: performance.now() at the start, the answer's headers, its end}. model: "" for the standard one.
 */
export async function explain(picture, model, signal) {
  const body = new FormData();
  body.append("file", picture, picture.name || "picture");
  const chosen = model === "" ? "" : `&model=${encodeURIComponent(model)}`;
  const clock = [performance.now()];
  const response = await ask(`v1/explain?floor=0${chosen}`, { method: "POST", body, signal });
  clock.push(performance.now());
  const text = await response.text();
  clock.push(performance.now());
  return { answer: JSON.parse(text), timing: response.headers.get("server-timing"), clock };
}

/** A picture as the server sees it, upright and still: what is drawn by a threshold that nothing reaches. */
export async function asJudged(picture, signal) {
  const body = new FormData();
  body.append("file", picture, picture.name || "picture");
  return (await ask("v1/detections?confidence=1", { method: "POST", body, signal, headers: { Accept: "image/jpeg" } })).blob();
}

const AGAIN = new Set([1001, 1005, 1006, 1012]); // the server has stopped, or the network: it may come back

/**
 * A stream of frames: {ready: whether `send` may be called, send(jpeg), set(options), close()}.
 * options: {model, confidence, nms_threshold}. onAnswer: called with {frame, skipped, detections, image, timings} or
 * {frame, skipped, error}; frames are counted from 1, in the order in which they were sent.
 * onEnd: called once with a Problem when the stream ends; its `mayReturn` says whether trying again makes sense.
 */
export function stream(options, onAnswer, onEnd) {
  const url = new URL("v1/live", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  for (const [name, value] of Object.entries(options)) if (value !== null) url.searchParams.set(name, value);
  const socket = new WebSocket(url, subprotocols());
  let opened = false;
  socket.binaryType = "arraybuffer";
  socket.addEventListener("open", () => { opened = true; });
  socket.addEventListener("message", (event) => onAnswer(JSON.parse(event.data)));
  socket.addEventListener("close", async ({ code, reason }) => onEnd(await why(opened, code, reason)));
  return {
    get ready() { return socket.readyState === WebSocket.OPEN; },
    send: (jpeg) => socket.send(jpeg),
    set: (changed) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(changed)),
    close: () => socket.close(),
  };
}

/** Why a stream ended. A browser does not say why it could not be opened, so the API is asked in the usual way. */
async function why(opened, code, reason) {
  try {
    if (!opened) await ask("v1/models");
  } catch (error) {
    return Object.assign(error, { mayReturn: error.status === 0 });
  }
  const sentence = reason || (code === 1009 ? "The pictures are too large for the server." : "The connection was lost.");
  return Object.assign(new Problem(sentence), { mayReturn: AGAIN.has(code) || code === 1013 });
}
