// Where frames come from: a camera, a video file, the screen, the demo clip; and how one is taken.

import { Problem } from "./access.js";

const SIDE = 640; // px: the longer side of a frame that is sent; the networks see less
const QUALITY = 0.85; // of the JPEG
const SECURE = "Browsers give a page the camera or the screen only on localhost or over https. On the machine itself " +
  "open http://localhost with the same port; from another one, put https in front of the server. A video file works here, too.";
const UNPLAYABLE = "The browser cannot play this video. Take an MP4 (H.264) or a WebM.";
const SENTENCES = {
  NotAllowedError: "The camera was refused. Allow it at the left of the address bar, then choose Camera again.",
  NotFoundError: "There is no camera on this device. Take a video file, the screen, or the demo clip.",
  NotReadableError: "The camera cannot be read: another program may be using it. Close that, then choose Camera again.",
};

/** Let the person choose a camera or a screen; the browser asks. Raises a Problem with a sentence. */
async function ask(kind) {
  if (!window.isSecureContext || !navigator.mediaDevices) throw new Problem(SECURE);
  try {
    if (kind === "camera") {
      const video = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "environment" };
      return await navigator.mediaDevices.getUserMedia({ video, audio: false });
    }
    if (!navigator.mediaDevices.getDisplayMedia) throw new Problem("This browser cannot show its screen to a page.");
    return await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 30 } }, audio: false });
  } catch (error) {
    if (error instanceof Problem) throw error;
    if (kind === "screen" && error.name === "NotAllowedError") throw new Problem("No screen was chosen.");
    throw new Problem(SENTENCES[error.name] ?? `The ${kind} does not start: ${error.message}`);
  }
}

/**
 * Let a video element show what was chosen. what: "camera", "screen", or the URL of a video. onEnd: it was taken away.
 * isWanted: whether it still is, once the person has answered the browser; if not, the camera is given back at once.
 */
export async function show(video, what, onEnd, isWanted) {
  hide(video);
  if (what === "camera" || what === "screen") {
    const media = await ask(what);
    if (!isWanted()) {
      for (const track of media.getTracks()) track.stop();
      throw new DOMException("Another source was chosen.", "AbortError");
    }
    media.getVideoTracks()[0].addEventListener("ended", onEnd);
    video.srcObject = media;
  } else {
    video.loop = true;
    video.src = what;
  }
  await video.play().catch((error) => {
    if (error.name === "AbortError") throw error; // another source was chosen
    throw new Problem(UNPLAYABLE);
  });
  if (!video.videoWidth) throw new Problem(UNPLAYABLE); // only its sound can be played
}

/** Give back the camera, the screen or the file. */
export function hide(video) {
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  if (video.src.startsWith("blob:")) URL.revokeObjectURL(video.src);
  video.srcObject = null;
  video.removeAttribute("src");
  video.load();
}

/** Call `each` for every new frame of a video, with the number of frames shown so far, until it returns false. */
export function watch(video, each) {
  let count = 0;
  const next = (now, metadata) => {
    count = metadata?.presentedFrames ?? count + 1;
    if (each(count)) again();
  };
  const again = () => video.requestVideoFrameCallback ? video.requestVideoFrameCallback(next) : requestAnimationFrame(next);
  again();
}

/** What a video shows now, as a canvas of at most SIDE pixels a side. */
export function take(video) {
  const scale = Math.min(1, SIDE / Math.max(video.videoWidth, video.videoHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(video.videoWidth * scale));
  canvas.height = Math.max(1, Math.round(video.videoHeight * scale));
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** A canvas as a JPEG. */
export const jpeg = (canvas) => new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));

/** Offer a canvas as a file to keep. */
export async function download(canvas, name) {
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
