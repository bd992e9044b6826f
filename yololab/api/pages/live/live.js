// The page: takes frames, keeps at most two under way, and draws each answer over the frame that it belongs to.

import { attempt, tell, whenKeyIsGiven } from "./access.js";
import { paint, paintLine, sceneOf } from "./draw.js";
import { download, hide, jpeg, show, take, watch } from "./frames.js";
import { models, stream } from "./source.js";
import { objects } from "./verdicts.js";

const $ = (id) => document.getElementById(id);
const UNDER_WAY = 2; // frames: one that is worked on, one that waits
const KEPT = 120; // latencies in the line
const RETRY = 2000; // ms
const PATIENCE = 5000; // ms without an answer
const video = $("video");
const options = { model: null, confidence: null, nms_threshold: null }; // null: the model's, the server's own
let run = null; // what runs now: {source, pending, last, ...}
let choosing = 0; // counts the choices of a source: only the last one counts

// ---- a run: from a source that was chosen until another one, or a stop

async function begin(name, what) {
  const mine = ++choosing;
  end();
  await attempt(async () => {
    if ($("model").disabled) await start();
    const ended = () => mine === choosing && finish("The picture has ended: the camera or the screen was taken away.");
    await show(video, what, ended, () => mine === choosing).catch((error) => {
      if (mine === choosing) hide(video);
      throw error;
    });
    if (mine !== choosing) return;
    run = { name, what, stream: null, opening: false, sent: 0, pending: [], last: null, paused: false, retry: 0,
      broken: false, latencies: [], times: [], answered: 0, shown: 0, base: null, told: 0, heard: 0 };
    for (const id of ["camera", "screen", "demo"]) $(id).toggleAttribute("aria-current", false);
    document.querySelector(`[data-source="${name}"]`)?.setAttribute("aria-current", "true");
    video.hidden = $("frame").hidden = false;
    $("invite").hidden = true;
    for (const id of ["pause", "save", "stop"]) $(id).disabled = false;
    $("pause").focus({ preventScroll: true }); // so that the next Space pauses, and does not choose again
    $("objects").textContent = "Waiting for the first answer …";
    setPaused(false);
    connect(run);
    const current = run;
    current.watchdog = setInterval(() => current.stream?.ready && notice(current), 1000);
    watch(video, (count) => {
      if (run !== current) return false;
      newFrame(current, count);
      return true;
    });
  });
}

/** Stop everything, and leave the last picture's place empty. */
function end() {
  hide(video); // also one that has not begun yet
  if (!run) return;
  clearTimeout(run.retry);
  clearInterval(run.watchdog);
  run.stream?.close();
  run = null;
  for (const id of ["rate", "latency", "skipped"]) $(id).textContent = "–";
  video.hidden = $("frame").hidden = true;
  $("overlay").width = 0;
  $("invite").hidden = false;
  $("objects").textContent = "Nothing is running";
  for (const id of ["pause", "save", "stop"]) $(id).disabled = true;
  for (const each of document.querySelectorAll("[aria-current]")) each.removeAttribute("aria-current");
  $("stage").classList.remove("paused");
}

/** End what runs, and what the browser still asks the person about. */
function finish(sentence) {
  choosing++;
  end();
  tell(sentence);
}

/** Say it where the server is connected and does not answer. */
function notice(current) {
  const since = current.pending[0]?.taken ?? Infinity;
  if (!current.paused && performance.now() - since > PATIENCE) tell("The server has not answered for some seconds. Waiting …");
}

// ---- the connection

function connect(current) {
  current.pending = [];
  current.sent = 0;
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== null));
  current.stream = stream(given, (answer) => run === current && receive(current, answer), (problem) => {
    if (run !== current) return;
    current.stream = null;
    if (!problem.mayReturn) {
      current.broken = true;
      return void attempt(() => { throw problem; });
    }
    current.pending = [];
    if (current.paused || document.hidden) return; // it is opened again with the next frame
    tell(`${problem.message} Trying again …`);
    current.retry = setTimeout(() => {
      current.retry = 0;
      if (run === current) connect(current);
    }, RETRY);
  });
}

/** The video shows another frame: send it, if fewer than two are under way. */
async function newFrame(current, count) {
  current.base ??= count - 1;
  current.shown = count - current.base;
  if (current.paused || !video.videoWidth) return;
  if (!current.stream && !current.retry && !current.broken) connect(current);
  if (!current.stream?.ready || current.pending.length >= UNDER_WAY) return;
  const frame = { picture: take(video), taken: performance.now(), number: null };
  current.pending.push(frame);
  const channel = current.stream;
  const data = await jpeg(frame.picture);
  if (run !== current || current.stream !== channel || !channel.ready) return;
  frame.number = ++current.sent;
  channel.send(data);
}

function receive(current, answer) {
  current.retry = 0;
  if (answer.frame === undefined) return void tell(answer.error.detail); // wrong options
  const frame = current.pending.find((each) => each.number === answer.frame);
  current.pending = current.pending.filter((each) => each.number === null || each.number > answer.frame);
  if (!frame || current.paused) return;
  if (answer.error) return void tell(answer.error.detail);
  tell("");
  current.last = { ...frame, answer };
  draw();
  $("stage").dispatchEvent(new CustomEvent("answered", { detail: answer }));
  requestAnimationFrame(() => setTimeout(() => measured(current, frame, answer))); // after the frame is on the screen
}

function draw() {
  const { picture, answer } = run.last;
  const canvas = $("frame");
  [canvas.width, canvas.height] = [picture.width, picture.height];
  canvas.getContext("2d").drawImage(picture, 0, 0);
  paint($("overlay"), sceneOf(answer.detections, answer.image));
}

// ---- what is measured

function measured(current, frame, answer) {
  if (run !== current) return;
  const now = performance.now();
  const latency = now - frame.taken;
  current.latencies = [...current.latencies, latency].slice(-KEPT);
  current.times = [...current.times.filter((time) => time > now - 2000), now];
  current.answered++;
  $("stage").dispatchEvent(new CustomEvent("measured", { detail: { ...answer.timings, latency } }));
  if (now - current.told < 250) return; // numbers that change faster cannot be read
  current.told = now;
  const { times, latencies } = current;
  const middle = latencies.toSorted((a, b) => a - b)[Math.floor(latencies.length / 2)];
  if (times.length > 2) $("rate").textContent = (1000 * (times.length - 1) / (now - times[0])).toFixed(1);
  $("latency").textContent = `${middle.toFixed(0)} ms`;
  $("skipped").textContent = `${Math.round(100 * Math.max(0, 1 - current.answered / current.shown))} %`;
  $("skipped").title = `${current.shown - current.answered} of the ${current.shown} frames of the source`;
  const most = paintLine($("line"), latencies);
  $("scale").textContent = `Latency, from the frame to its boxes on the screen; the line ends at ${most} ms.`;
  const inside = Object.entries(answer.timings).filter(([, ms]) => ms >= 0.5);
  $("timings").textContent = `Of this: ${inside.map(([stage, ms]) => `${stage} ${ms.toFixed(0)} ms`).join(", ") || "under 1 ms"}.`;
  const scene = sceneOf(answer.detections, answer.image);
  $("objects").title = $("objects").textContent = objects(scene.candidates, scene.fates) || "Nothing is detected";
  if (now - current.heard > 4000 && $("spoken").textContent !== $("objects").textContent) {
    current.heard = now; // a screen reader would not come to an end otherwise
    $("spoken").textContent = $("objects").textContent;
  }
}

// ---- the controls

let confidences = new Map();
async function start() {
  const { names, standard, ...others } = await models();
  confidences = others.confidences;
  showConfidence(standard);
  $("model").replaceChildren(...names.map((name) => new Option(name, name, false, name === standard)));
  $("model").disabled = false;
}

/** The model's own threshold, as long as nobody has set another one. */
function showConfidence(model) {
  if (options.confidence !== null) return;
  $("confidence").value = confidences.get(model);
  $("confidence-number").value = confidences.get(model).toFixed(2);
}

function change(name, value) {
  options[name] = value;
  run?.stream?.set({ [name]: value });
}

function setPaused(paused) {
  if (!run) return;
  run.paused = paused;
  if (paused) video.pause();
  else video.play().catch(() => {});
  $("stage").classList.toggle("paused", paused);
  $("pause").setAttribute("aria-pressed", paused);
  $("pause").firstChild.textContent = paused ? "Go on " : "Pause ";
}

async function save() {
  if (!run?.last) return;
  const { picture, answer } = run.last;
  const [whole, boxes] = [0, 1].map(() => Object.assign(document.createElement("canvas"), { width: picture.width, height: picture.height }));
  paint(boxes, sceneOf(answer.detections, answer.image));
  for (const each of [picture, boxes]) whole.getContext("2d").drawImage(each, 0, 0);
  await download(whole, `frame-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.png`);
}

for (const [id, source] of [["camera", "camera"], ["screen", "screen"], ["demo", "live-assets/clip.webm"]]) {
  $(id).dataset.source = id;
  $(id).addEventListener("click", () => begin(id, source));
}
$("file").nextElementSibling.dataset.source = "file";
$("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) begin("file", URL.createObjectURL(file));
  event.target.value = ""; // so that the same one can be chosen again
});
for (const [id, name] of [["confidence", "confidence"], ["nms", "nms_threshold"]]) {
  const [slider, number] = [$(id), $(`${id}-number`)];
  slider.addEventListener("input", () => {
    number.value = Number(slider.value).toFixed(2);
    change(name, Number(slider.value));
  });
  number.addEventListener("input", () => {
    if (number.value === "" || !(number.value >= 0 && number.value <= 1)) return; // half typed
    slider.value = number.value;
    change(name, Number(number.value));
  });
}
$("model").addEventListener("change", () => {
  change("model", $("model").value);
  showConfidence($("model").value);
});
$("smooth").addEventListener("change", () => {
  $("stage").classList.toggle("smooth", $("smooth").checked);
  $("stage").classList.toggle("exact", !$("smooth").checked);
});
$("pause").addEventListener("click", () => setPaused(!run.paused));
$("save").addEventListener("click", save);
$("stop").addEventListener("click", () => finish(""));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  if (event.key === "Escape") finish("");
  else if (event.key === "s" || event.key === "S") save();
  else if (event.key === " " && !event.target.closest("button")) $("pause").click();
  else return;
  event.preventDefault();
});
new ResizeObserver(() => run?.last && draw()).observe($("overlay"));
whenKeyIsGiven(async (waiting) => {
  if ($("model").disabled) await start();
  if (run?.broken) {
    run.broken = false;
    connect(run);
  } else if (waiting !== start) await waiting();
});

$("stage").classList.add("exact");
attempt(start);
