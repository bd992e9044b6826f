// Asking this server, with the key where it wants one, and saying over the picture what went wrong.
// The page has the elements #notice, #problem, #keyform and #key.

const $ = (id) => document.getElementById(id);
let key = null; // of the API: kept here and nowhere else
let again = null; // what to do when a key was given

/** An error whose message is a sentence for the person in front of the page. status: of HTTP, or 0. */
export class Problem extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** fetch, relative to this page; a Problem with the API's own sentence where it says no. */
export async function ask(url, options = {}) {
  const headers = key === null ? {} : { "X-API-Key": key };
  const response = await fetch(url, { ...options, headers: { ...headers, ...options.headers } }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer. Is it running?");
  });
  if (response.ok) return response;
  const { detail } = await response.json().catch(() => ({}));
  const sentence = Array.isArray(detail) ? detail.map((each) => each.msg).join("; ") : detail;
  throw new Problem(sentence ?? `The server answered ${response.status} ${response.statusText}.`, response.status);
}

/** The subprotocols of a WebSocket: the one that is spoken, and the key, since a page can send no headers there. */
export function subprotocols() {
  if (key === null) return ["yololab.live"];
  const bytes = String.fromCharCode(...new TextEncoder().encode(key));
  return ["yololab.live", `yololab.key.${btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`];
}

/** Show a sentence over the picture; "" hides it. */
export function tell(sentence, wantsKey = false) {
  $("problem").textContent = sentence;
  $("keyform").hidden = !wantsKey;
  $("notice").hidden = sentence === "";
  if (wantsKey) $("key").focus();
}

/** Run `work`; if it fails, say why over the picture, and ask for the key if that is what it lacks. */
export async function attempt(work) {
  tell("");
  try {
    await work();
  } catch (error) {
    if (error.name === "AbortError") return; // another picture has taken its place
    if (!(error instanceof Problem)) console.error(error);
    again = work;
    tell(error.message, [401, 403].includes(error.status));
  }
}

/** Call `then` with the work that has failed for want of a key, once one is given. */
export function whenKeyIsGiven(then) {
  $("keyform").addEventListener("submit", (event) => {
    event.preventDefault();
    const given = $("key").value.trim();
    if (!/^[ -~]*$/.test(given)) return tell("No key has such characters: type it, or copy it as plain text.", true);
    key = given;
    const waiting = again;
    attempt(() => then(waiting));
  });
}
