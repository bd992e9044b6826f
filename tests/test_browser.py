"""What people see: the pages and JupyterLab in a real browser. Screenshots go to build/screenshots/: look at them."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from urllib.parse import urlsplit

import pytest
import requests
from conftest import IMAGES

from yololab import create_app, serve
from yololab.machine import free_port
from yololab.settings import ROOT, Settings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(not find_spec("playwright"), reason="needs Playwright: make test-browser"),
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium on the path (Debian: apt-get install chromium)"),
    pytest.mark.filterwarnings("default"),
]
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run", "--disable-features=Translate,OptimizationHints"]  # fmt: skip
SHOTS = ROOT / "build" / "screenshots"
APPLE = IMAGES / "apple.jpg"


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
    server = serve(create_app(Settings(keep=False, extras="batch,explore")), port=None)
    while requests.get(server.url + "/ready").status_code != 200:
        pass
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
    """`python -m yololab lab` with a fixed token and nothing of this user's; its URL, and the port for the lab."""
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
        process = subprocess.Popen([sys.executable, "-m", "yololab", "lab"], env=env, stdout=log, stderr=log)
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
