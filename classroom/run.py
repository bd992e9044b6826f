"""`python -m classroom run`: both notebooks for real, server.ipynb serving while client.ipynb asks."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from time import perf_counter

import nbformat
import requests
from jinja2 import DictLoader
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter

from classroom import ROOT
from yololab.vision.machine import free_port

from .results import VARIABLE

BUILD = ROOT / "build"
NO_ALT = 'alt="No description has been provided for this image"'
FOLDED = """{%- extends 'lab/index.html.j2' -%}
{%- block input_group -%}
{%- if "hide-input" in cell.metadata.get("tags", []) -%}
<details><summary>Show code cell source</summary>{{ super() }}</details>
{%- else -%}
{{ super() }}
{%- endif -%}
{%- endblock -%}
"""  # long code that draws is folded, as on the site
CELL_SECONDS = 300  # no cell of ours takes near as long; a hang ends as an error


class Failed(Exception):
    """A notebook stopped in an error; the message holds its cell and traceback."""


@contextmanager
def executed(path: Path, out: Path = BUILD, **env: str) -> Iterator[nbformat.NotebookNode]:
    """Run all cells of a notebook in a kernel of its own, which lives on until the block ends.

    The executed notebook and its HTML are written to `out`, also after an error. Raises Failed.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],  # ipykernel 7 warns of its plain TCP on loopback at every start
        resources={"metadata": {"path": str(path.parent)}},
    )
    own = {VARIABLE: "", "CLASSROOM_PROJECT": str(out / "project/build/capstone")}  # nothing of a student's is touched
    with client.setup_kernel(env=os.environ | own | env):
        try:
            for index, cell in enumerate(notebook.cells):
                client.execute_cell(cell, index)
        except CellExecutionError as error:
            raise Failed(f"{path.name} stopped in an error:\n{error}") from None
        finally:
            notebook.metadata.language_info = client.wait_for_reply(client.kc.kernel_info())["content"]["language_info"]
            write(notebook, out / path.name)
        yield notebook


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write an executed notebook to `path`, and beside it its HTML, which needs no other host."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    template = {"template_file": "folded.html.j2", "extra_loaders": [DictLoader({"folded.html.j2": FOLDED})]}
    exporter = HTMLExporter(require_js_url="", mathjax_url="", mermaid_js_url="", **template)  # no other host
    html = exporter.from_notebook_node(notebook)[0]
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if alt := output.get("metadata", {}).get("image/png", {}).get("alt"):
                html = html.replace(NO_ALT, f'alt="{escape(alt)}"', 1)  # in the same order; nbconvert leaves it out
    path.with_suffix(".html").write_text(html, encoding="utf-8")


def run() -> int:
    """The whole lab once, with a progress line for each long step; the process's exit status."""
    started = perf_counter()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = {"YOLOLAB_PORT": str(port), "YOLOLAB_URL": url, "YOLOLAB_HOST": "127.0.0.1"}
    try:
        _say("1/3  server.ipynb runs in a kernel, and serves the API from it ...")
        with executed(ROOT / "server.ipynb", **env):
            _say(f"     done after {perf_counter() - started:.0f} s; the API answers on {url}")
            _say("2/3  client.ipynb runs in a second kernel and posts pictures to it ...")
            with executed(ROOT / "client.ipynb", **env):
                _say(f"     done after {perf_counter() - started:.0f} s")
            _say("3/3  every picture of images/ once:\n")
            _say(table(url))
    except Failed as failure:
        _say(f"\nFAILED. {failure}\nThe notebook as far as it ran: {BUILD}")
        return 1
    except (requests.RequestException, OSError, RuntimeError) as error:
        _say(f"\nFAILED. {type(error).__name__}: {error}\n`python -m yololab doctor` looks for the cause.")
        return 1
    _say(f"\nAll of it worked, in {perf_counter() - started:.0f} s. Where to look:")
    _say(f"  {BUILD / 'server.html'}\n  {BUILD / 'client.html'}   both notebooks as they ran (also .ipynb)")
    _say(f"  {ROOT / 'images_uploaded'}   the annotated pictures\nGo on with: make lab")
    return 0


def table(url: str) -> str:
    """One line for each picture of images/: the objects found, the best confidence, milliseconds for the request."""
    lines = [f"{'picture':<20} {'objects':<40} {'confidence':>10} {'ms':>6}", "-" * 79]
    for path in sorted((ROOT / "images").glob("*.jpg")):
        before = perf_counter()
        answer = requests.post(f"{url}/v1/detections", files={"file": path.read_bytes()}, timeout=60)
        spent = 1e3 * (perf_counter() - before)
        answer.raise_for_status()
        found = answer.json()["detections"]
        counts = Counter(each["label"] for each in found)
        objects = ", ".join(f"{count} {label}" for label, count in counts.items()) or "nothing"
        best = f"{found[0]['confidence']:.2f}" if found else "-"
        lines.append(f"{path.name:<20} {shorten(objects):<40} {best:>10} {spent:>6.0f}")
    return "\n".join(lines)


def shorten(text: str, width: int = 40) -> str:
    """`text` in at most `width` characters."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _say(text: str) -> None:
    print(text, flush=True)
