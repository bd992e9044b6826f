"""`make outputs`: run the notebooks, and keep in them the outputs that somebody who only reads wants to see.

What differs from run to run without saying anything (addresses of objects, ports, folders, progress bars) is left out,
so that a diff shows what changed. Each code cell notes the hash of the source that its outputs belong to.
"""

import base64
import hashlib
import io
import os
import platform
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from PIL import Image

from classroom import ROOT
from yololab.vision.machine import free_port

from .run import executed

PICTURE_BYTES = 60_000  # of one picture, at most
TOTAL_BYTES = 8_000_000  # of all pictures
NOTE = "measured-on"  # the id of the cell that tells the machine
KEPT = ("text/plain", "text/html", "text/markdown", "image/png", "image/jpeg", "image/svg+xml")
FORBIDDEN = {
    "the address of an object": re.compile(r"\b0x[0-9a-f]{8,}"),
    "a folder of one machine": re.compile(r"/home/|/Users/|/root/|/work/|/tmp/\w|[A-Z]:\\\\Users"),
    "a port that the system chose": re.compile(r"(?:127\.0\.0\.1|localhost):[1-6]\d{4}"),
    "a progress bar": re.compile(r"\r(?!\n)|\d+%\|"),
    "a warning": re.compile(r"\w+Warning: "),
}


def notebooks() -> list[Path]:
    """All notebooks, in the order in which they run."""
    return [ROOT / "server.ipynb", ROOT / "client.ipynb", *sorted((ROOT / "notebooks").rglob("[0-9][0-9]_*.ipynb"))]


def renew(paths: Iterable[Path]) -> None:
    """Run these notebooks and write their outputs into them. Raises run.Failed, with the notebook left as it was."""
    port = free_port()
    env = {"YOLOLAB_PORT": str(port), "YOLOLAB_URL": f"http://127.0.0.1:{port}", "YOLOLAB_HOST": "127.0.0.1"}
    wanted = set(paths)
    if (ROOT / "client.ipynb") in wanted:
        wanted.add(ROOT / "server.ipynb")  # which serves what the client calls
    for path in notebooks():
        if path not in wanted or path.name == "client.ipynb":
            continue
        with executed(path, **(env if path.name == "server.ipynb" else {})) as notebook:
            keep(path, notebook)
            if path.name == "server.ipynb" and (ROOT / "client.ipynb") in wanted:
                with executed(ROOT / "client.ipynb", **env) as client:
                    keep(ROOT / "client.ipynb", client)


def keep(path: Path, ran: NotebookNode) -> None:
    """Write the outputs of a notebook that ran into the file it came from."""
    notebook = nbformat.read(path, as_version=4)
    outputs = {cell.id: cell.outputs for cell in ran.cells if cell.cell_type == "code"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = tidied(outputs[cell.id])
            cell.execution_count = None
            cell.metadata.source_sha256 = source_hash(cell.source)
    notebook.cells = [cell for cell in notebook.cells if cell.id != NOTE]
    note = nbformat.v4.new_markdown_cell(_machine())
    note.id = NOTE
    notebook.cells.insert(1, note)
    nbformat.write(notebook, path)


def source_hash(source: str) -> str:
    """What a code cell notes of the source that its outputs belong to."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def tidied(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """The outputs that a reader wants, without what only one run on one machine has."""
    kept: list[NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream":
            text = _scrub(output.text)
            if output.name == "stderr" or not text.strip():
                continue
            if kept and kept[-1].output_type == "stream":
                kept[-1].text += text
            else:
                kept.append(nbformat.v4.new_output("stream", name="stdout", text=text))
        elif output.output_type == "error":
            traceback = [_scrub(f"{output.ename}: {output.evalue}")]
            kept.append(nbformat.v4.new_output("error", ename=output.ename, evalue=traceback[0], traceback=traceback))
        else:
            data = {kind: content for kind, content in output.data.items() if kind in KEPT}
            metadata = {kind: value for kind, value in output.metadata.items() if kind in data}
            if "image/png" in data:
                kind, content = _small(base64.b64decode(data.pop("image/png")))
                data = {kind: base64.b64encode(content).decode() + "\n"}
                metadata = {kind: dict(metadata.get("image/png", {}))}
            else:
                data = {kind: _scrub(content) for kind, content in data.items()}
            kept.append(nbformat.v4.new_output("display_data", data=data, metadata=metadata))
    return kept


def problems(notebook: NotebookNode) -> list[str]:
    """What is wrong with the outputs that a notebook holds; nothing, if a reader can trust them."""
    found = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        if cell.execution_count is not None:
            found.append(f"cell {number}: has an execution count")
        if cell.metadata.get("source_sha256") != source_hash(cell.source):
            found.append(f"cell {number}: its outputs belong to another source; run `make outputs`")
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", []):
                found.append(f"cell {number}: an error that was not announced: {output.evalue}")
            for text in _texts(output):
                found += [f"cell {number}: holds {what}" for what, mark in FORBIDDEN.items() if mark.search(text)]
            found += [f"cell {number}: a picture of {size} bytes" for size in pictures(output) if size > PICTURE_BYTES]
    return found


def pictures(output: NotebookNode) -> list[int]:
    """The sizes of the pictures in an output, bytes."""
    data = output.get("data", {})
    return [len(base64.b64decode(data[kind])) for kind in ("image/png", "image/jpeg") if kind in data]


def _texts(output: NotebookNode) -> list[str]:
    if "text" in output:
        return [output.text]
    return [content for kind, content in output.get("data", {}).items() if kind.startswith("text/")]


def _scrub(text: str) -> str:
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    text = re.sub(r"(?m)^[^\n]*\r(?!\n)", "", text)  # what a progress bar wrote over
    text = re.sub(r"\b0x[0-9a-f]{8,}", "0x…", text)
    text = text.replace(str(ROOT), "…").replace(str(Path.home()), "~")
    text = re.sub(r"/tmp/[\w.-]+", "/tmp/…", text)
    return re.sub(r"((?:127\.0\.0\.1|localhost)['\"]?[:,] ?)[1-6]\d{4}\b", r"\1PORT", text)


def _small(png: bytes) -> tuple[str, bytes]:
    """The picture as PNG where that is small enough, else as JPEG: media type and bytes."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    if len(png) <= PICTURE_BYTES:
        return "image/png", png
    content = _encoded(picture.quantize(256), "PNG", optimize=True)
    if len(content) <= PICTURE_BYTES:
        return "image/png", content
    while True:
        for quality in (90, 84, 78, 72):
            content = _encoded(picture, "JPEG", quality=quality, optimize=True)
            if len(content) <= PICTURE_BYTES:
                return "image/jpeg", content
        picture = picture.resize((picture.width * 4 // 5, picture.height * 4 // 5), Image.Resampling.LANCZOS)


def _encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def _machine() -> str:
    info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    cpu = named[1] if named else platform.processor() or platform.machine()
    day = date.today().strftime("%B %Y")
    return (
        f"*The outputs below were made in {day} on {os.cpu_count()} cores ({cpu}), {platform.system()}, "
        f"Python {platform.python_version()}. Times and rates will differ on your machine; the rest should not.*"
    )
