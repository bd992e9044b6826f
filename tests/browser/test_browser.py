"""What people see: the pages and JupyterLab in a real browser. Screenshots go to build/screenshots/: look at them."""

import io
import os
import shutil
import struct
import subprocess
import sys
import zlib
from contextlib import suppress
from importlib.util import find_spec
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from helpers import IMAGES, ROOT
from PIL import Image

from yololab import create_app, serve
from yololab.api.settings import Settings
from yololab.vision.machine import free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.xdist_group("browser"),  # one browser for all
    pytest.mark.skipif(not find_spec("playwright"), reason="needs Playwright: make test-browser"),
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium on the path (Debian: apt-get install chromium)"),
    pytest.mark.filterwarnings("default"),
]
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run", "--disable-features=Translate,OptimizationHints"]  # fmt: skip
SHOTS = ROOT / "build" / "screenshots"
APPLE = IMAGES / "apple.jpg"


PIXELS = """image => {
    const canvas = Object.assign(document.createElement("canvas"), {width: 64, height: 48});
    canvas.getContext("2d").drawImage(image, 0, 0, 64, 48);
    return [...canvas.getContext("2d").getImageData(0, 0, 64, 48).data];
}"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A browser with a profile of its own."""
    from playwright.sync_api import sync_playwright

    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=CHROMIUM, args=QUIET, headless=True,
            viewport={"width": 1280, "height": 900},
        )  # fmt: skip
        context.set_default_timeout(120_000)
        yield context
        context.close()


@pytest.fixture
def page(browser):
    """A new page; afterwards it is asserted that it asked no other host for anything, and threw no error."""
    page = browser.new_page()
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    foreign = [url for url in asked if urlsplit(url).scheme in ("http", "https", "ws", "wss", "ftp")
               and urlsplit(url).hostname != "127.0.0.1"]  # fmt: skip
    assert not foreign
    assert not errors


@pytest.fixture(scope="module")
def url():
    """A ready server with every route."""
    server = serve(create_app(Settings(keep=False, extras="batch,explore")), port=0)
    yield server.url
    server.stop()


def try_out(page, url: str, path: str):
    """Open an operation in /docs, ready for input; its element."""
    page.goto(f"{url}/docs")
    operation = page.locator(".opblock").filter(has=page.locator(f'[data-path="{path}"]'))
    operation.locator(".opblock-summary").click()
    operation.get_by_role("button", name="Execute").wait_for()
    return operation


def test_docs_show_the_annotated_picture(page, url):
    operation = try_out(page, url, "/predict")
    operation.locator("input[type=file]").set_input_files(APPLE)
    assert operation.locator("select").first.input_value() == "starter"
    operation.get_by_role("button", name="Execute").click()
    picture = operation.locator(".live-responses-table img")
    picture.wait_for()
    assert picture.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])") == [
        640,
        480,
    ]
    picture.scroll_into_view_if_needed()
    page.screenshot(path=SHOTS / "docs.png")


def test_docs_show_the_json(page, url):
    operation = try_out(page, url, "/v1/detections")
    operation.locator("input[type=file]").set_input_files(APPLE)
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table .highlight-code").first
    answer.wait_for()
    assert '"label": "apple"' in answer.inner_text()
    page.screenshot(path=SHOTS / "docs_json.png", full_page=True)


def test_docs_have_a_file_picker_for_each_of_several_files(page, url):
    operation = try_out(page, url, "/v1/detections/batch")
    operation.locator("input[type=file]").first.set_input_files(APPLE)
    operation.get_by_role("button", name="Add").click()
    operation.locator("input[type=file]").nth(1).set_input_files(IMAGES / "fruit.jpg")
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table .highlight-code").first
    answer.wait_for()
    assert answer.inner_text().count('"status": 200') == 2
    page.screenshot(path=SHOTS / "docs_batch.png")


def test_the_overview_of_the_docs(page, url):
    page.goto(f"{url}/docs")
    page.locator(".opblock").first.wait_for()
    assert page.locator(".opblock").count() == 9
    page.screenshot(path=SHOTS / "docs_overview.png", full_page=True)


def test_redoc_renders(page, url):
    page.goto(f"{url}/redoc")
    page.get_by_role("heading", name="A picture in, the annotated picture out").wait_for()
    page.screenshot(path=SHOTS / "redoc.png")


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory):
    """`python -m classroom lab` with a fixed token and nothing of this user's; its URL, and the port for the lab."""
    folder, port, api = tmp_path_factory.mktemp("jupyter"), free_port(), free_port()
    (folder / "jupyter_lab_config.json").write_text(
        '{"LabApp": {"expose_app_in_browser": true}, "ServerApp": {"open_browser": false, "allow_root": true, '
        f'"port": {port}, "port_retries": 0}}}}'
    )
    for plugin, values in {
        "docmanager-extension/plugin": '{"autosave": false}',  # the repository's notebooks stay clean
        "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',  # no questions
    }.items():
        path = folder / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(values)
    env = os.environ | {
        "JUPYTER_CONFIG_DIR": str(folder), "JUPYTER_TOKEN": "lab", "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "YOLOLAB_PORT": str(api), "YOLOLAB_URL": f"http://127.0.0.1:{api}", "YOLOLAB_UPLOADS": str(folder / "uploads"),
    }  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "classroom", "lab"], env=env, stdout=log, stderr=log)
        base = f"http://127.0.0.1:{port}"
        while True:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                if requests.get(f"{base}/api/status", headers={"Authorization": "token lab"}, timeout=60).ok:
                    break
            except requests.ConnectionError:
                continue
        yield base
        for session in requests.get(f"{base}/api/kernels", headers={"Authorization": "token lab"}, timeout=60).json():
            requests.delete(f"{base}/api/kernels/{session['id']}", headers={"Authorization": "token lab"}, timeout=60)
        requests.post(f"{base}/api/shutdown", headers={"Authorization": "token lab"}, timeout=60)
        process.wait(60)


CELLS = "() => jupyterapp.shell.currentWidget.context.model.toJSON().cells.filter(cell => cell.cell_type == 'code')"
IDLE = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status == 'idle'"
DONE = f"() => ({IDLE})() && ({CELLS})().every(cell => cell.execution_count || !cell.source.length)"

CENTRED = """image => {  // JupyterLab lays its cells out while one scrolls
    image.scrollIntoView({block: "center"});
    const box = image.getBoundingClientRect();
    return image.complete && Math.abs(box.top + box.bottom - innerHeight) < innerHeight / 3;
}"""


def run_all(page, base: str, name: str) -> list[dict]:
    """Open a notebook in JupyterLab, Run All Cells by the menu; its code cells with their outputs."""
    page.goto(f"{base}/lab/tree/{name}?token=lab")
    page.wait_for_function(IDLE)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(DONE)
    return page.evaluate(CELLS)


def test_both_notebooks_run_in_jupyterlab(browser, page, jupyter):
    """server.ipynb keeps serving in its tab while client.ipynb asks in another one."""
    beside = browser.new_page()
    for name, where in (("server.ipynb", page), ("client.ipynb", beside)):
        cells = run_all(where, jupyter, name)
        outputs = [output for cell in cells for output in cell["outputs"]]
        assert not [each for each in outputs if each["output_type"] == "error" or each.get("name") == "stderr"]
        assert sum("image/png" in each.get("data", {}) for each in outputs) >= 5
        for picture in where.locator(".jp-RenderedImage img").all()[:3]:
            assert picture.evaluate("image => image.naturalWidth") > 200
        where.bring_to_front()
        where.wait_for_function(CENTRED, arg=where.locator(".jp-RenderedImage img").first.element_handle())
        where.screenshot(path=SHOTS / name.replace(".ipynb", ".png"))
    beside.close()


class Explore:
    """/explore in a page, and what it asked for."""

    def __init__(self, page, url: str):
        self.page, self.asked, self.complaints = page, [], []
        page.on("request", lambda request: self.asked.append(f"{request.method} {request.url}"))
        page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        page.goto(f"{url}/explore")
        page.locator("#model:enabled").wait_for()

    def choose(self, *names: str) -> None:
        for name in names:
            self.page.locator("#file").set_input_files(IMAGES / name)
            self.page.locator("#waterfall li").first.wait_for()

    def posts(self) -> int:
        return len([each for each in self.asked if each.startswith("POST")])

    def summary(self) -> str:
        return self.page.locator("#summary").inner_text()

    def frame(self) -> None:
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def counts(self) -> dict[str, int]:
        """Rows by verdict."""
        each = self.page.locator("#rows tr").evaluate_all("rows => rows.map(row => row.dataset.verdict)")
        return {verdict: each.count(verdict) for verdict in ("detected", "suppressed", "below")}


@pytest.fixture
def explore(page, url):
    explore = Explore(page, url)
    yield explore
    assert not explore.complaints


def painted(page) -> int:
    """Pixels of the canvas over the picture that something was drawn on."""
    return page.locator("#overlay").evaluate(
        "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data"
        ".filter((value, at) => at % 4 == 3 && value).length"
    )


def test_explore_shows_boxes_and_reasons(explore):
    page = explore.page
    assert page.locator("#confidence").is_disabled()
    explore.choose("fruit.jpg")
    counts = explore.counts()
    assert sum(counts.values()) == 500 and all(counts.values())
    assert explore.summary() == "{detected} detected, {suppressed} suppressed, {below} below the threshold".format(
        **counts
    )
    assert painted(page) > 5000
    page.screenshot(path=SHOTS / "explore_light.png")
    for verdict, sentence in (
        ("detected", "detected"),
        ("suppressed", "suppressed by #"),
        ("below", "below the threshold: 0."),
    ):
        row = page.locator(f"#rows tr[data-verdict={verdict}]").first
        row.scroll_into_view_if_needed()
        row.hover()
        assert row.locator(".verdict").inner_text().startswith(sentence)
        page.locator(f"#rows tr[data-mark=focus][data-verdict={verdict}]").wait_for()
        assert page.locator("#rows tr[data-mark=suppressor]").count() == (verdict == "suppressed")
        assert sentence in page.locator("#readout").inner_text()
    before = painted(page)
    for group in counts:
        page.locator(f".groups input[value={group}]").uncheck()
        assert not page.locator(f"#rows tr[data-verdict={group}]").first.is_visible()
    page.mouse.move(1, 1)
    explore.frame()
    assert painted(page) == 0 < before


def test_explore_finds_the_row_of_a_box_and_goes_on_by_keys(explore):
    page = explore.page
    explore.choose("banana.jpg")
    box = page.locator("#overlay").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    row = page.locator("#rows tr[data-mark=focus]")
    row.wait_for()
    assert row.get_attribute("data-verdict") == "detected" and row.locator(".label").inner_text() == "banana"
    number = int(row.get_attribute("data-number"))
    row.focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("#rows tr:focus").get_attribute("data-number") == str(number + 1)
    page.keyboard.press("Escape")
    row.wait_for(state="detached")


@pytest.mark.parametrize("name", ["fruit.jpg", "crowd.jpg", "car.jpg"])
def test_explore_judges_as_the_server_does(explore, url, name):
    """To the last bit: 0.3 and 0.7 are other numbers in float32, and boxes reach over the border."""
    page = explore.page
    with page.expect_response("**/v1/explain*") as received:
        explore.choose(name)
    candidates = received.value.json()["candidates"]
    surest, overlap = candidates[3]["confidence"], next(c["overlap"] for c in candidates if c["overlap"])
    pairs = [(0.4, 0.45), (0.05, 0.2), (0.3, 0.7), (0, 0.5), (0.01, 0), (0.2, 1), (1, 0.45), (surest, overlap)]
    for confidence, nms in pairs:
        page.locator("#confidence-number").fill(repr(confidence))
        page.locator("#nms-number").fill(repr(nms))
        explore.frame()
        asked = {"confidence": confidence, "nms_threshold": nms, "floor": 0}
        with (IMAGES / name).open("rb") as file:
            answer = requests.post(f"{url}/v1/explain", params=asked, files={"file": file}).json()
        expected = [{key: each[key] for key in ("verdict", "suppressor", "overlap")} for each in answer["candidates"]]
        judge = "async args => (await import('./explore-assets/verdicts.js')).judge(...args)"
        assert page.evaluate(judge, [candidates, confidence, nms]) == expected
        shown = page.locator("#rows tr").evaluate_all("rows => rows.map(row => row.dataset.verdict)")
        assert shown == [each["verdict"].split()[0] for each in expected]
    assert explore.posts() == 1


def test_explore_moves_a_threshold_by_keys_without_asking_again(explore):
    page = explore.page
    explore.choose("crowd.jpg")
    asked, before = len(explore.asked), explore.summary()
    least = float(page.locator("#confidence-number").input_value())
    page.locator("#confidence").focus()
    for _ in range(15):
        page.keyboard.press("ArrowLeft")
    explore.frame()
    assert page.locator("#confidence-number").input_value() == f"{least - 0.15:.2f}"
    assert explore.summary() != before
    page.wait_for_function("() => document.getElementById('live').textContent == summary.textContent")
    page.locator("#reset").click()
    explore.frame()
    assert explore.summary() == before
    assert len(explore.asked) == asked and explore.posts() == 1


@pytest.mark.parametrize(("map_", "wide", "scheme"), [("all", 1280, "dark"), ("0", 390, "light"), ("1", 360, "dark")])
def test_explore_fits_dark_rooms_and_phones(explore, map_, wide, scheme):
    page = explore.page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": wide, "height": 900 if wide > 500 else 844})
    explore.choose("crowd.jpg")
    page.locator("#heat").select_option(map_)
    explore.frame()
    assert painted(page) > 50_000  # the map covers the picture
    assert page.evaluate("document.documentElement.scrollWidth") == wide
    page.screenshot(path=SHOTS / f"explore_{'phone' if wide == 390 else 'narrow' if wide == 360 else scheme}.png")
    if wide == 390:
        page.locator("#scroller").scroll_into_view_if_needed()
        page.locator("#rows tr").nth(1).click()
        explore.frame()
        page.screenshot(path=SHOTS / "explore_phone_table.png")


def test_explore_says_what_the_api_says(page, url):
    explore = Explore(page, url)
    page.locator("#file").set_input_files({"name": "a.txt", "mimeType": "image/png", "buffer": b"hello"})
    page.locator("#problem", has_text="TIFF picture").wait_for()
    assert page.locator("#keyform").is_hidden() and explore.summary() == "No answer"
    page.screenshot(path=SHOTS / "explore_error.png")
    explore.choose("apple.jpg")
    assert page.locator("#notice").is_hidden()


@pytest.mark.parametrize("kind", ["lying WebP", "PNG, turned behind its pixels", "animated GIF", "TIFF"])
def test_explore_shows_what_was_judged(explore, kind):
    page, out = explore.page, io.BytesIO()
    image, other = (Image.open(IMAGES / name).convert("RGB") for name in ("fruit.jpg", "car.jpg"))
    turned = Image.Exif()
    turned[0x0112] = 6
    lying = image.transpose(Image.Transpose.ROTATE_90)
    if kind == "lying WebP":
        lying.save(out, "WEBP", quality=95, exif=turned)
    elif kind == "animated GIF":
        image.save(out, "GIF", save_all=True, append_images=[other], duration=100)
    elif kind == "TIFF":
        image.save(out, "TIFF")
    else:
        lying.save(out, "PNG")
        chunk = b"eXIf" + turned.tobytes().removeprefix(b"Exif\0\0")
        late = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        out = io.BytesIO(out.getvalue()[:-12] + late + out.getvalue()[-12:])
    name = {"lying WebP": "image/webp", "animated GIF": "image/gif", "TIFF": "image/tiff"}.get(kind, "image/png")
    page.locator("#file").set_input_files({"name": "a", "mimeType": name, "buffer": out.getvalue()})
    page.locator("#objects", has_text="banana").wait_for()
    page.wait_for_function("() => !document.getElementById('stage').classList.contains('busy')")
    page.wait_for_function("() => document.getElementById('picture').naturalWidth == 640")
    assert page.locator("#picture").is_visible() and page.locator("#notice").is_hidden()
    shown = page.locator("#picture").evaluate(PIXELS)
    expected = np.asarray(image.resize((64, 48)), int)
    assert np.abs(np.array(shown).reshape(48, 64, 4)[..., :3] - expected).mean() < 12


def test_explore_the_last_click_counts(explore):
    page, held = explore.page, []
    page.route("**/samples/fruit.jpg", lambda route: held.append(route))
    group = page.get_by_role("group", name="Sample pictures")
    group.get_by_role("button", name="fruit", exact=True).click()
    group.get_by_role("button", name="car", exact=True).click()
    page.locator("#objects", has_text="car").wait_for()
    for route in held:
        with suppress(Exception):  # the page has given it up
            route.continue_()
    explore.choose("car.jpg")  # what was asked for before has come by then
    assert held and page.locator("#picture").get_attribute("alt") == "car.jpg"
    assert "banana" not in page.locator("#objects").inner_text()


def test_explore_tab_finds_a_row_that_is_shown(explore):
    page = explore.page
    explore.choose("fruit.jpg")
    page.get_by_label("detected", exact=True).uncheck()
    explore.frame()
    assert page.locator('#rows tr[tabindex="0"]').count() == 1
    assert page.locator('#rows tr[tabindex="0"]').is_visible()


def test_explore_takes_what_is_dropped_and_samples_behind_a_prefix(page, url):
    prefix = "/user/ann/proxy/8000"
    page.route(f"{url}{prefix}/**", lambda route: route.continue_(url=route.request.url.replace(prefix, "")))
    explore = Explore(page, url + prefix)
    page.get_by_role("group", name="Sample pictures").get_by_role("button", name="cup and bottle").click()
    page.locator("#waterfall li").first.wait_for()
    assert {"1 bottle", "1 cup"} <= set(page.locator("#objects").inner_text().split(", "))
    data = page.evaluate_handle("""async () => {
      const data = new DataTransfer();
      const picture = await (await fetch("explore-assets/samples/fruit.jpg")).blob();
      data.items.add(new File([picture], "fruit.jpg", { type: "image/jpeg" }));
      return data;
    }""")
    page.dispatch_event("body", "drop", {"dataTransfer": data})
    page.locator("#objects", has_text="banana").wait_for()
    assert page.locator("#picture").get_attribute("alt") == "fruit.jpg"
    assert explore.posts() == 2 and not explore.complaints
    assert all(f"{url}{prefix}/" in each for each in explore.asked if " blob:" not in each)


def test_explore_asks_for_the_key(page):
    server = serve(create_app(Settings(keep=False, extras="explore", api_key="secret")), port=0)
    page.goto(f"{server.url}/explore")
    page.locator("#problem", has_text="X-API-Key").wait_for()
    page.locator("#key").fill("wrong")
    page.get_by_role("button", name="Use it").click()
    page.locator("#problem", has_text="is wrong").wait_for()
    page.screenshot(path=SHOTS / "explore_key.png")
    page.locator("#key").fill("secret")
    page.keyboard.press("Enter")
    page.locator("#model:enabled").wait_for()
    page.locator("#file").set_input_files(APPLE)
    page.locator("#objects", has_text="1 apple").wait_for()
    assert page.locator("#notice").is_hidden()
    server.stop()
