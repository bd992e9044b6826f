"""The page /live in Chromium, its fake camera fed from the project's clip. Screenshots go to build/screenshots/."""

import json
import threading
import time
from contextlib import contextmanager
from statistics import median

import cv2
import numpy as np
import pytest
from helpers import ROOT
from test_browser import CHROMIUM, QUIET, SHOTS, pytestmark  # noqa: F401  (pytest reads the marks)

from yololab import create_app, serve
from yololab.api.rendering import as_dict
from yololab.api.result import Options
from yololab.api.settings import Settings

CLIP = ROOT / "yololab" / "api" / "pages" / "shared" / "clip.webm"
TRUTH = json.loads(CLIP.with_suffix(".json").read_text())
BITS, SIDE = 6, 24  # of the frame's number, drawn into the clip's lower left corner as squares
LISTEN = """bits => {
    window.seen = []; window.latencies = [];
    const stage = document.getElementById("stage"), frame = document.getElementById("frame");
    stage.addEventListener("measured", event => latencies.push(event.detail.latency));
    stage.addEventListener("answered", event => {
        const side = frame.width * 24 / 640, row = frame.height * (480 - 12) / 480, context = frame.getContext("2d");
        let number = 0;
        for (let at = 0; at < bits; at++)
            number += (context.getImageData((at + 0.5) * side, row, 1, 1).data[1] > 127) << at;
        const {detections, image, frame: sent} = event.detail;
        seen.push({number, sent, detections, image, time: performance.now()});
    });
}"""


@pytest.fixture(scope="module")
def camera(tmp_path_factory):
    """The clip as Motion JPEG, 30 frames a second, with the number of each frame in its corner."""
    path = tmp_path_factory.mktemp("camera") / "clip.mjpeg"
    film, frames = cv2.VideoCapture(str(CLIP)), []
    while (read := film.read())[0]:
        picture = read[1]
        for at in range(BITS):
            shade = 255 * (len(frames) >> at & 1)
            cv2.rectangle(picture, (at * SIDE, 480 - SIDE), ((at + 1) * SIDE - 1, 479), (shade,) * 3, cv2.FILLED)
        frames.append(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())
    assert len(frames) == len(TRUTH["frames"])
    path.write_bytes(b"".join(frame * 2 for frame in frames))  # a camera has 30 frames a second, the clip 15
    return path


SLOW_CAMERA = """
window.waiting = []; window.given = [];
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (options) => {
  await new Promise((allow) => waiting.push(allow));
  const media = await ask(options);
  given.push(media);
  return media;
};
"""


@pytest.fixture(scope="module")
def chromium():
    """A function that starts a browser with a profile of its own and these flags; use it in a `with`."""
    from playwright.sync_api import sync_playwright

    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:

        @contextmanager
        def start(folder, *flags: str):
            context = playwright.chromium.launch_persistent_context(
                folder, executable_path=CHROMIUM, headless=True, args=[*QUIET, *flags],
                viewport={"width": 1280, "height": 900},
            )  # fmt: skip
            context.set_default_timeout(60_000)
            yield context
            context.close()

        yield start


@pytest.fixture(scope="module")
def browser(chromium, tmp_path_factory, camera):
    flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
             f"--use-file-for-fake-video-capture={camera}"]  # fmt: skip
    with chromium(tmp_path_factory.mktemp("profile"), *flags) as context:
        yield context


@pytest.fixture(scope="module")
def server():
    server = serve(create_app(Settings(keep=False, extras="explore,live")), port=0, quiet=True)
    yield server
    server.stop()


@pytest.fixture
def page(browser, server):
    """/live, loaded; afterwards no script has failed."""
    page = browser.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.goto(f"{server.url}/live")
    page.locator("#model:enabled").wait_for()
    page.evaluate(LISTEN, BITS)
    yield page
    page.close()
    assert not errors


def iou(a: dict, b: dict) -> float:
    """Intersection over union of two boxes of the API's form."""
    width = max(0, min(a["x2"], b["x2"]) - max(a["x1"], b["x1"]))
    height = max(0, min(a["y2"], b["y2"]) - max(a["y1"], b["y1"]))
    area = [(each["x2"] - each["x1"]) * (each["y2"] - each["y1"]) for each in (a, b)]
    return width * height / (sum(area) - width * height)


def painted(page) -> int:
    """Pixels of the canvas over the picture that something was drawn on."""
    return page.locator("#overlay").evaluate(
        "canvas => canvas.width && canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data"
        ".filter((value, at) => at % 4 == 3 && value).length"
    )


def run(page, frames: int, button: str = "#camera") -> list[dict]:
    """Start a source; what was drawn for the first `frames` answers."""
    page.locator(button).click()
    page.wait_for_function(f"() => seen.length >= {frames}")
    return page.evaluate("() => seen")


def test_the_boxes_lie_on_the_true_ones(page, server, capsys):
    page.evaluate("() => stage.addEventListener('measured', event => (window.busy ??= []).push(event.detail))")
    seen = run(page, 90)[:90]
    busy = page.evaluate("() => busy.slice(0, 90)")
    hits = []
    for each in seen:
        scale = each["image"]["width"] / TRUTH["width"]  # the camera may give another size
        for true in TRUTH["frames"][each["number"] % len(TRUTH["frames"])]:
            box = {side: value * scale for side, value in true["box"].items()}
            hits.append(any(found["label"] == true["label"] and iou(found["box"], box) >= 0.5
                            for found in each["detections"]))  # fmt: skip
    assert len({each["number"] for each in seen}) > 20  # it is a moving picture
    assert sum(hits) >= 0.8 * len(hits)
    assert painted(page) > 1000
    assert page.locator("#objects").inner_text() != "Nothing is detected"
    latencies = page.evaluate("() => latencies")
    page.locator("#stop").click()

    service, data = server.app.state.service, cv2.imencode(".jpg", cv2.VideoCapture(str(CLIP)).read()[1])[1].tobytes()
    started = time.perf_counter()
    for _ in range(90):
        service.process(data, Options("starter"), as_dict)
    alone = 90 / (time.perf_counter() - started)
    rate = (len(seen) - 11) / (seen[-1]["time"] - seen[10]["time"]) * 1e3
    with capsys.disabled():
        at_work = sum(each["decode"] + each["detect"] for each in busy) / len(busy) * rate / 1e3
        latency = median(latencies)
        print(f"\n/live: {rate:.1f} frames a second; the detector alone {alone:.1f}, the camera 30: "
              f"{rate / min(alone, 30):.2f} of the lower; the server at work {at_work:.0%} of the time; "
              f"latency {latency:.0f} ms = {latency * rate / 1e3:.2f} frames; "
              f"{np.mean(hits):.0%} of the true boxes")  # fmt: skip


def test_at_most_two_frames_are_under_way(page, server, monkeypatch):
    service, process, at_work, most = server.app.state.service, server.app.state.service.process, [], []

    def slow(*given):
        at_work.append(1)
        most.append(len(at_work))
        time.sleep(0.1)  # a slow model
        try:
            return process(*given)
        finally:
            at_work.pop()

    monkeypatch.setattr(service, "process", slow)
    seen = run(page, 12)
    assert max(most) == 1
    assert [each["sent"] for each in seen] == list(
        range(1, len(seen) + 1)
    )  # the page sends none that would be left out
    page.wait_for_function("() => /^[1-9]\\d* %$/.test(document.getElementById('skipped').textContent)")


def test_pause_save_and_stop_by_keys(page):
    run(page, 5)
    page.keyboard.press("Space")
    page.locator("#pause[aria-pressed=true]").wait_for()
    page.evaluate("() => new Promise(done => setTimeout(done, 300))")  # what is under way comes to its end
    before = page.evaluate("() => seen.length")
    with page.expect_download() as download:
        page.keyboard.press("s")
    picture = cv2.imread(str(download.value.path()))
    assert picture.shape == (480, 640, 3) and download.value.suggested_filename.endswith(".png")
    assert page.evaluate("() => seen.length") == before
    page.keyboard.press("Space")
    page.wait_for_function(f"() => seen.length > {before + 3}")
    page.keyboard.press("Escape")
    page.locator("#stop:disabled").wait_for()
    assert page.locator("#frame").is_hidden() and painted(page) == 0
    assert page.evaluate("() => document.getElementById('video').srcObject") is None  # the camera's lamp is off


def test_thresholds_and_the_demo_clip(page):
    run(page, 5, "#demo")
    page.locator("#confidence-number").fill("1")
    page.wait_for_function("() => seen.length && !seen.at(-1).detections.length")
    page.wait_for_function("() => document.getElementById('objects').textContent == 'Nothing is detected'")
    page.locator("#confidence-number").fill("0.3")
    page.wait_for_function("() => seen.at(-1).detections.length == 3")
    page.locator("#smooth").check()
    assert page.locator("#frame").is_hidden() and page.locator("#video").is_visible()


def test_the_screen(page):
    assert run(page, 3, "#screen")[0]["image"]["width"] == 640  # at most: the longer side of what is sent
    assert page.locator("#screen[aria-current]").count() == 1


def test_a_video_file(page):
    page.locator("#file").set_input_files(CLIP)
    page.wait_for_function("() => seen.length >= 3")
    assert page.locator("label[for=file][aria-current]").count() == 1
    page.locator("#file").set_input_files({"name": "x.webm", "mimeType": "video/webm", "buffer": b"no video"})
    page.locator("#notice:visible").wait_for()
    assert "cannot play this video" in page.locator("#problem").inner_text()


def test_only_the_last_choice_gets_the_camera(browser, server):
    """The person answers the browser's question late: after another choice, a second click, or Esc."""
    page = browser.new_page()
    page.add_init_script(SLOW_CAMERA)
    for after in ("#demo", "#camera", "Escape"):
        page.goto(f"{server.url}/live")
        page.locator("#model:enabled").wait_for()
        page.evaluate(LISTEN, BITS)
        page.locator("#camera").click()
        page.wait_for_function("() => waiting.length == 1")
        if after == "Escape":
            page.keyboard.press(after)
        else:
            page.locator(after).click()
        if after == "#camera":
            page.wait_for_function("() => waiting.length == 2")
        page.evaluate("() => waiting.forEach(allow => allow())")
        page.wait_for_function("() => given.length == waiting.length")
        page.wait_for_function("() => given[0].getTracks().every(each => each.readyState == 'ended')")
        if after == "Escape":
            assert page.locator("#video").is_hidden() and page.locator("#stop").is_disabled()
            continue
        page.wait_for_function("() => seen.length >= 2")
        assert page.locator(f"{after}[aria-current]").count() == 1
        page.locator("#stop").click()
        assert page.evaluate("() => given.every(media => media.getTracks().every(each => each.readyState == 'ended'))")
    page.close()


def watched(browser):
    """A server of its own, and its page with the demo clip running."""
    server = serve(create_app(Settings(keep=False, extras="live")), port=0, quiet=True)
    page = browser.new_page()
    page.goto(f"{server.url}/live")
    page.evaluate(LISTEN, BITS)
    run(page, 3, "#demo")
    return server, page


def test_a_paused_page_comes_back_after_a_restart(browser):
    server, page = watched(browser)
    server.stop()
    page.locator("#notice:visible", has_text="Trying again").wait_for()
    with page.expect_event("requestfailed", lambda request: "v1/models" in request.url):  # it tries again, in vain
        page.locator("#pause").click()
    again = serve(create_app(Settings(keep=False, extras="live")), port=server.port, quiet=True)
    before = page.evaluate("() => seen.length")
    page.locator("#pause").click()
    page.wait_for_function(f"() => seen.length > {before + 3}")
    assert page.locator("#notice").is_hidden()
    page.close()
    again.stop()


def test_a_server_that_does_not_answer_is_told(page, server, monkeypatch):
    go, process = threading.Event(), server.app.state.service.process
    run(page, 3, "#demo")
    monkeypatch.setattr(server.app.state.service, "process", lambda *given: (go.wait(60), process(*given))[1])
    page.locator("#notice:visible", has_text="has not answered").wait_for()
    go.set()
    page.locator("#notice").wait_for(state="hidden")


def test_a_server_that_stops_and_comes_back(browser):
    server, page = watched(browser)
    server.stop()
    page.locator("#notice:visible").wait_for()
    assert "The server is stopping" in page.locator("#problem").inner_text()
    again = serve(create_app(Settings(keep=False, extras="live")), port=server.port, quiet=True)
    before = page.evaluate("() => seen.length")
    page.wait_for_function(f"() => seen.length > {before + 3}")
    assert page.locator("#notice").is_hidden()
    page.close()
    again.stop()


def test_a_key_is_asked_for(browser):
    server = serve(create_app(Settings(keep=False, extras="live", api_key="right/+ key")), port=0, quiet=True)
    page = browser.new_page()
    page.goto(f"{server.url}/live")
    page.locator("#keyform:visible").wait_for()
    page.evaluate(LISTEN, BITS)
    page.locator("#key").fill("right\N{EN DASH}key")
    page.locator("#keyform button").click()
    page.locator("#problem", has_text="No key has such characters").wait_for()
    page.locator("#key").fill("right/+ key")
    page.locator("#keyform button").click()
    page.locator("#model:enabled").wait_for()
    assert len(run(page, 3, "#demo")) >= 3
    page.close()
    server.stop()


def test_no_camera_and_no_permission(chromium, tmp_path, server):
    """Chromium without fake devices has no camera; one that may not ask has no permission."""
    with chromium(tmp_path / "none") as context:
        page = context.new_page()
        page.goto(f"{server.url}/live")
        page.locator("#camera").click()
        page.locator("#notice:visible").wait_for()
        assert "There is no camera" in page.locator("#problem").inner_text()
    with chromium(tmp_path / "refused", "--use-fake-device-for-media-stream", "--deny-permission-prompts") as context:
        page = context.new_page()
        page.goto(f"{server.url}/live")
        page.locator("#camera").click()
        page.locator("#notice:visible").wait_for()
        assert "The camera was refused" in page.locator("#problem").inner_text()


def test_plain_http_of_another_name(chromium, tmp_path):
    server = serve(create_app(Settings(keep=False, extras="live", allowed_hosts="lab.example")), port=0, quiet=True)
    with chromium(tmp_path / "far", "--host-resolver-rules=MAP lab.example 127.0.0.1") as context:
        page = context.new_page()
        page.goto(f"http://lab.example:{server.port}/live")
        page.locator("#camera").click()
        page.locator("#notice:visible").wait_for()
        assert "only on localhost or over https" in page.locator("#problem").inner_text()
        page.evaluate(LISTEN, BITS)
        assert len(run(page, 3, "#demo")) >= 3
    server.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 820, 1280])
def test_screenshots(page, width, scheme):
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.screenshot(path=SHOTS / f"live_empty_{width}_{scheme}.png")
    run(page, 40, "#demo")
    page.screenshot(path=SHOTS / f"live_{width}_{scheme}.png", full_page=True)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
