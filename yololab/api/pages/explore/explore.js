// The page: asks once for each picture, then judges and paints anew whenever a threshold moves.

import { Problem, ask, attempt, tell, whenKeyIsGiven } from "./access.js";
import { heatmap, paint, paintScale, paintStrip, placed, together } from "./draw.js";
import { asJudged, explain as explainPicture, models, samples } from "./source.js";
import { MOST, figure, group, judge, nearest, objects, reason, stages, tally } from "./verdicts.js";

const $ = (id) => document.getElementById(id);
const THUMB = 18; // px, as in the style sheet
const MOVING = ["image/gif", "image/webp", "image/apng"]; // may be animations: only their first picture is judged
const REACH = 6; // px: how near to a line the pointer must be
const scene = { size: null, candidates: [], fates: [], shown: new Set(["detected", "suppressed", "below"]), focus: null, heat: null };
const limits = { confidence: 0.4, nms: 0.45 };
let standard = { ...limits };
let hovered = null;
let pinned = null;
let answer = null;
let file = null;
let asking = new AbortController();

// ---- asking for candidates

async function start() {
  const { names, standard: first } = await models();
  $("model").replaceChildren(...names.map((name) => new Option(name, name, false, name === first)));
  $("model").disabled = false;
}

async function offerSamples() {
  for (const { name, url } of await samples()) {
    const title = name.replace(/\.\w+$/, "").replaceAll("_", " ");
    const button = Object.assign(document.createElement("button"), { type: "button", title });
    button.append(Object.assign(new Image(64, 48), { src: url, alt: title, draggable: false }));
    button.addEventListener("click", () => attempt(() => open(async (signal) => {
      return new File([await (await ask(url, { signal })).blob()], name, { type: "image/jpeg" });
    })));
    $("samples").append(button);
  }
}

/** Show a picture and have it explained; the last one that was chosen counts. fetched: (signal) => its File. */
async function open(fetched) {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  clear();
  $("stage").classList.add("busy");
  $("summary").textContent = "Asking the model …";
  try {
    const picture = await fetched(signal);
    await picture.slice(0, 1).arrayBuffer().catch(() => {
      throw new Problem("That is a folder, or a file that the browser may not read. Take a picture.");
    });
    signal.throwIfAborted();
    file = picture;
    show(file);
    if ($("model").disabled) await start().catch(() => {}); // the answer says what is wrong
    await explain(signal);
    await showAsJudged(signal);
  } finally {
    if (!signal.aborted) {
      $("stage").classList.remove("busy");
      if (!answer) $("summary").textContent = "No answer";
    }
  }
}

function show(picture) {
  URL.revokeObjectURL($("picture").src);
  $("picture").src = URL.createObjectURL(picture);
  $("picture").alt = file.name;
  $("picture").hidden = false;
  $("invite").hidden = true;
}

/** Where the browser shows something else than what was judged: lying on its side, in motion, or nothing. */
async function showAsJudged(signal) {
  const isShown = await $("picture").decode().then(() => true, () => false);
  const { naturalWidth: width, naturalHeight: height } = $("picture");
  const isSame = isShown && width === answer.image.width && height === answer.image.height;
  if (isSame && !MOVING.includes(file.type)) return;
  const still = await asJudged(file, signal);
  signal.throwIfAborted();
  show(still);
}

async function explain(signal) {
  const { answer: received, timing, clock } = await explainPicture(file, $("model").disabled ? "" : $("model").value, signal);
  answer = received;
  receive();
  requestAnimationFrame(() => setTimeout(() => { // after the frame
    showTimes(stages(timing, [...clock, performance.now()]));
  }));
}

function clear() {
  answer = hovered = pinned = scene.heat = null;
  Object.assign(scene, { size: null, candidates: [], fates: [] });
  $("rows").replaceChildren();
  sight.disconnect();
  inSight.clear();
  $("controls").disabled = true;
  $("objects").textContent = "";
  $("note").textContent = "The candidates will stand here, the surest first.";
  $("waterfall").replaceChildren();
  resized();
}

/** A new answer: the controls get its thresholds, the table its rows. */
function receive() {
  Object.assign(scene, { size: answer.image, candidates: answer.candidates });
  standard = { confidence: answer.confidence, nms: answer.nms_threshold };
  for (const name of Object.keys(limits)) setLimit(name, standard[name]);
  scene.fates = judge(scene.candidates, limits.confidence, limits.nms); // before there are rows that tell of them
  $("controls").disabled = false;
  $("note").textContent = scene.candidates.length < MOST ? "" : `The network proposed more; these are the ${MOST} best.`;
  $("rows").replaceChildren(...scene.candidates.map(makeRow));
  const grids = answer.objectness.toSorted((a, b) => a.length - b.length);
  const names = grids.length === 2 ? ["coarse", "fine"] : ["coarse", "middle", "fine"];
  const options = grids.map((grid, at) => new Option(`${names[at] ?? ""} ${grid[0].length} × ${grid.length}`, at));
  const chosen = $("heat").value;
  $("heat").replaceChildren(new Option("none", ""), ...options, ...(grids.length ? [new Option("all", "all")] : []));
  $("heat").value = [...$("heat").options].some((each) => each.value === chosen) ? chosen : "";
  for (const row of $("rows").rows) sight.observe(row);
  chooseHeat();
  resized();
}

// ---- the frame: everything that follows from the thresholds, at most once a frame

let asked = false;
function refresh() {
  if (!asked) requestAnimationFrame(frame);
  asked = true;
}

function frame() {
  asked = false;
  scene.fates = judge(scene.candidates, limits.confidence, limits.nms);
  scene.focus = hovered ?? pinned;
  if (scene.size) paint($("overlay"), scene);
  else $("overlay").width = 0; // clears it
  updateRows();
  updateWords();
}

function resized() {
  paintStrip($("strip"), scene.candidates, THUMB);
  refresh();
}

function updateWords() {
  if (!answer) return void ($("readout").textContent = "");
  const { detected, suppressed, below } = tally(scene.fates);
  const summary = `${detected} detected, ${suppressed} suppressed, ${below} below the threshold`;
  const found = objects(scene.candidates, scene.fates);
  $("summary").textContent = summary;
  $("objects").textContent = $("objects").title = found || "Nothing is detected.";
  const { focus } = scene;
  if (focus === null) return void ($("readout").textContent = "Point at a box or a row; click to keep it.");
  const { label, confidence, objectness, probability } = scene.candidates[focus];
  $("readout").textContent = `#${focus + 1} ${label}, ${figure(confidence)} = ${figure(objectness)} × ` +
    `${figure(probability)}: ${sentence(focus)}.`;
}

const sentence = (number) => reason(scene.candidates[number], scene.fates[number], limits.confidence, limits.nms);

// ---- the table

function makeRow(candidate, number) {
  const row = $("row").content.firstElementChild.cloneNode(true);
  const cell = (name) => row.querySelector(`.${name}`);
  const others = Object.entries(candidate.others).filter(([, probability]) => probability >= 0.005)
    .map(([label, probability]) => `${label} ${probability.toFixed(2)}`).join(", ");
  row.dataset.number = number;
  row.style.setProperty("--color", candidate.color);
  row.style.setProperty("--share", candidate.confidence);
  cell("n").textContent = number + 1;
  cell("label").lastElementChild.textContent = cell("label").title = candidate.label;
  cell("conf").textContent = figure(candidate.confidence);
  cell("obj").textContent = figure(candidate.objectness);
  cell("prob").textContent = figure(candidate.probability);
  cell("next").textContent = cell("next").title = others;
  if (number === 0) row.tabIndex = 0;
  return row;
}

const inSight = new Set(); // rows
const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) inSight[isIntersecting ? "add" : "delete"](target);
  refresh();
}, { root: $("scroller"), rootMargin: "100px" });

/** Writes only what has changed, and sentences only where they are seen: a screen reader gets the others from `rest`. */
function updateRows() {
  const suppressor = scene.focus === null ? null : scene.fates[scene.focus].suppressor;
  [...$("rows").rows].forEach((row, number) => {
    const verdict = group(scene.fates[number]);
    const mark = number === scene.focus ? "focus" : number === suppressor ? "suppressor" : "";
    if (row.dataset.verdict !== verdict) row.dataset.verdict = verdict;
    if ((row.dataset.mark ?? "") !== mark) row.dataset.mark = mark;
    if (inSight.has(row)) write(row, number);
  });
  const first = $("rows").querySelector('[tabindex="0"]');
  if (first && !scene.shown.has(first.dataset.verdict)) { // Tab must find a row that is there
    const seen = [...$("rows").rows].find((row) => scene.shown.has(row.dataset.verdict));
    if (seen) [first.tabIndex, seen.tabIndex] = [-1, 0];
  }
  clearTimeout(resting);
  resting = setTimeout(rest, 400);
}

function write(row, number) {
  const text = sentence(number);
  if (row.lastElementChild.textContent !== text) row.lastElementChild.textContent = text;
}

let resting = 0;
/** When the slider has come to rest: the sentences of all rows, and the summary for a screen reader. */
function rest() {
  [...$("rows").rows].forEach(write);
  if ($("live").textContent !== $("summary").textContent) $("live").textContent = $("summary").textContent;
}

const numberOf = (event) => {
  const row = event.target.closest("#rows tr");
  return row ? Number(row.dataset.number) : null;
};

function pin(number) {
  pinned = number;
  hovered = null; // the pointer may rest on another one while keys are used
  refresh();
  if (number === null) return;
  for (const row of $("rows").querySelectorAll('[tabindex="0"]')) row.tabIndex = -1;
  $("rows").rows[number].tabIndex = 0; // where Tab comes back to
}

function hover(number) {
  if (number === hovered) return;
  hovered = number;
  refresh();
}

/** Bring a row into sight within its scroller, and leave the page where it is. */
function reveal(number) {
  const [row, scroller] = [$("rows").rows[number], $("scroller")];
  const [top, head] = [row.offsetTop, scroller.querySelector("thead").offsetHeight];
  if (top - head < scroller.scrollTop) scroller.scrollTop = top - head;
  else if (top + row.offsetHeight > scroller.scrollTop + scroller.clientHeight) {
    scroller.scrollTop = top + row.offsetHeight - scroller.clientHeight;
  }
}

/** Arrow keys go from row to row, past those that are switched off. */
function walk(event) {
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -MOST, End: MOST };
  if (!(event.key in steps)) return;
  event.preventDefault();
  const rows = [...$("rows").rows].filter((row) => scene.shown.has(row.dataset.verdict));
  const at = rows.indexOf(event.target.closest("tr")) + steps[event.key];
  const row = rows[Math.min(Math.max(at, 0), rows.length - 1)];
  row?.focus({ preventScroll: true });
  if (row) reveal(Number(row.dataset.number));
}

$("rows").addEventListener("pointerover", (event) => hover(numberOf(event)));
$("rows").addEventListener("pointerleave", () => hover(null));
$("rows").addEventListener("focusin", (event) => pin(numberOf(event)));
$("rows").addEventListener("keydown", walk);

// ---- the picture

function pointed(event) {
  if (!scene.size) return null;
  const place = placed($("overlay"), scene.size);
  const at = $("overlay").getBoundingClientRect();
  const [x, y] = [(event.clientX - at.left - place.left) / place.scale, (event.clientY - at.top - place.top) / place.scale];
  const seen = [...scene.fates.keys()].filter((number) => scene.shown.has(group(scene.fates[number])));
  return nearest(scene.candidates, scene.fates, seen, x, y, REACH / place.scale);
}

$("overlay").addEventListener("pointermove", (event) => hover(pointed(event)));
$("overlay").addEventListener("pointerleave", () => hover(null));
$("overlay").addEventListener("click", (event) => {
  const number = pointed(event);
  pin(number);
  if (number !== null) reveal(number);
});
$("picture").addEventListener("error", () => { $("picture").hidden = true; });
new ResizeObserver(resized).observe($("overlay"));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") pin(null);
});

// ---- the controls

const decimals = (value) => (Number(value.toFixed(2)) === value ? value.toFixed(2) : String(value));

function setLimit(name, value) {
  limits[name] = value;
  $(name).value = value;
  $(`${name}-number`).value = decimals(value);
}

for (const name of Object.keys(limits)) {
  const [slider, number] = [$(name), $(`${name}-number`)];
  slider.addEventListener("input", () => {
    setLimit(name, Number(slider.value));
    refresh();
  });
  number.addEventListener("input", () => {
    if (number.value === "" || !(number.value >= 0 && number.value <= 1)) return; // half typed
    limits[name] = Number(number.value);
    slider.value = number.value;
    refresh();
  });
}
$("reset").addEventListener("click", () => {
  for (const name of Object.keys(limits)) setLimit(name, standard[name]);
  refresh();
});
for (const box of document.querySelectorAll(".groups input")) {
  box.addEventListener("change", () => {
    scene.shown[box.checked ? "add" : "delete"](box.value);
    $("rows").dataset.hidden = ["detected", "suppressed", "below"].filter((each) => !scene.shown.has(each)).join(" ");
    refresh();
  });
}

function chooseHeat() {
  const grids = answer.objectness.toSorted((a, b) => a.length - b.length);
  const chosen = $("heat").value;
  scene.heat = chosen === "" ? null : heatmap(chosen === "all" ? together(grids) : grids[chosen]);
  $("legend").classList.toggle("off", scene.heat === null);
  refresh();
}
$("heat").addEventListener("change", chooseHeat);

// ---- where the time went

function showTimes(bars) {
  const total = bars.at(-1).start + bars.at(-1).ms;
  $("waterfall").replaceChildren(...bars.map(({ name, ms, start, where }) => {
    const [item, bar] = [document.createElement("li"), document.createElement("i")];
    item.className = where;
    bar.style.left = `${(100 * start) / total}%`;
    bar.style.width = `${(100 * ms) / total}%`;
    const track = Object.assign(document.createElement("span"), { className: "track" });
    track.append(bar);
    item.append(name, track, Object.assign(document.createElement("b"), { textContent: `${ms.toFixed(1)} ms` }));
    return item;
  }));
  $("total").textContent = `${total.toFixed(0)} ms in all, once. The sliders never ask the server again.`;
}

// ---- a picture comes: chosen, dropped or pasted

const take = (files) => files[0] && attempt(() => open(async () => files[0]));
$("file").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = ""; // so that the same one can be chosen again
});
$("model").addEventListener("change", () => file && take([file]));
document.addEventListener("paste", (event) => take([...event.clipboardData.files]));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
for (const name of ["dragleave", "drop", "dragend"]) {
  document.addEventListener(name, (event) => {
    if (name !== "dragleave" || !event.relatedTarget) document.body.classList.remove("dropping");
  });
}
document.addEventListener("drop", (event) => {
  event.preventDefault();
  const files = [...event.dataTransfer.files];
  if (!files.length) tell("That was no file. Save the picture first, then drop the file.");
  take(files);
});
whenKeyIsGiven(async (waiting) => {
  if ($("model").disabled) await start();
  if (waiting !== start) await waiting();
});

paintScale($("scale"));
attempt(start);
offerSamples().catch(() => {}); // without them the page works as well
