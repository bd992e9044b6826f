"""How long /explore takes from a slider's input event to the painted frame: python -m benchmarks.explore_page."""

import shutil
import tempfile
from statistics import median

from playwright.sync_api import Page, sync_playwright

from benchmarks import ROOT
from yololab import create_app, serve
from yololab.api.settings import Settings

PICTURE = ROOT / "images" / "crowd.jpg"  # 500 candidates, and the most detections of all samples
MOVES = 60
# two frames: the first callback runs before the paint, the second after it. An idle page takes one to two frames for
# that, 16.7 to 33.3 ms at 60 Hz: the row "nothing moves" is what a page without any work would show.
MEASURE = """async ([id, values]) => {
  const slider = document.getElementById(id);
  const frames = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  const times = [];
  for (const value of values) {
    await new Promise(done => setTimeout(done, 50 * Math.random()));  // input comes at any time of a frame
    const began = performance.now();
    if (value !== null) {
      slider.value = value;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    }
    await frames();
    times.push(performance.now() - began);
  }
  return times;
}"""


def measure(page: Page, slider: str, low: float | None, high: float | None) -> list[float]:
    """Milliseconds of each of MOVES moves, there and back between two values; of nothing where these are None."""
    half = MOVES // 2
    there = [None if low is None else low + (high - low) * step / half for step in range(half)]
    return page.evaluate(MEASURE, [slider, there + there[::-1]])


def main() -> None:
    """Print a table for README or RESULTS."""
    server = serve(create_app(Settings(keep=False, extras="explore")), port=0)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=path, headless=True, args=["--no-sandbox", "--disable-gpu"],
            viewport={"width": 1280, "height": 900},
        )  # fmt: skip
        page = context.new_page()
        page.goto(f"{server.url}/explore")
        page.locator("#file").set_input_files(PICTURE)
        page.locator("#waterfall li").first.wait_for()
        print(f"{PICTURE.name}, {page.locator('#rows tr').count()} candidates, Chromium {context.browser.version}")
        print("\n| what moves, 60 times | median ms | longest ms |\n|---|---:|---:|")
        for title, *moves in (
            ("nothing moves", "confidence", None, None),
            ("confidence, 0.05 to 0.95", "confidence", 0.05, 0.95),
            ("confidence, 0 to 0.10: most boxes change", "confidence", 0, 0.10),
            ("NMS, 0 to 1", "nms", 0, 1),
        ):
            times = measure(page, *moves)
            print(f"| {title} | {median(times):.1f} | {max(times):.1f} |")
        context.close()
    server.stop()


if __name__ == "__main__":
    main()
