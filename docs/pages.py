"""What the site does to a page before Sphinx reads it."""

import json
import os
import re

REPOSITORY = os.environ.get("GITHUB_REPOSITORY", "")  # owner/name; the Pages workflow knows it
BRANCH = os.environ.get("GITHUB_REF_NAME", "main")


def slug(text: str) -> str:
    """The anchor of a heading as code hosts make it."""
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", text.strip().lower()))


def prepare(app: object, name: str, content: list[str]) -> None:
    """Sphinx's event source-read: what makes a notebook of JupyterLab a page of the site."""
    if not content[0].startswith("{"):
        return
    notebook = json.loads(content[0])
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = _with_anchors(_with_pictures("".join(cell["source"]), cell.pop("attachments", {})))
    title, _, rest = notebook["cells"][0]["source"].partition("\n")
    notebook["cells"][0]["source"] = f"{title}\n\n{_how_to_run(name)}\n{rest}"
    content[0] = json.dumps(notebook)


def _with_anchors(text: str) -> str:
    """Anchors of JupyterLab, which keep case and punctuation, become the site's."""
    return re.sub(r"\]\(([\w./]*\.ipynb)?#([^)]+)\)", lambda found: f"]({found[1] or ''}#{slug(found[2])})", text)


def _with_pictures(text: str, attachments: dict) -> str:
    """Pictures that are attached to the cell stand in its text as data."""
    for name, kinds in attachments.items():
        (kind, data), *_ = kinds.items()
        text = text.replace(f"attachment:{name}", f"data:{kind};base64,{data.strip()}")
    return text


def _how_to_run(name: str) -> str:
    """A line below the title: what this page is, and where the notebook can run."""
    path, up = f"{name}.ipynb", "../" * name.count("/")
    places = {
        "Colab": f"https://colab.research.google.com/github/{REPOSITORY}/blob/{BRANCH}/{path}",
        "Binder": f"https://mybinder.org/v2/gh/{REPOSITORY}/{BRANCH}?labpath={path}",
        "Codespaces": f"https://codespaces.new/{REPOSITORY}?quickstart=1",
    }
    links = ", ".join(f"[{place}]({url})" for place, url in places.items())
    where = f", or open it in {links}" if REPOSITORY else ""
    run = f"[install the lab]({up}docs/install.md){where}"
    return f"*This page is the notebook `{path}` with its results. To run it: {run}.*"


def fields(app: object, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """autodoc's event: lines such as "size: ...", which explain an argument, become a list of fields."""
    found: list[str] = []
    inside = False  # such a list
    for line in lines:
        begins = re.match(r"[a-z_]+: ", line)
        if bool(begins) != inside and not line.startswith(" "):
            found.append("")  # a list begins and ends with an empty line
            inside = bool(begins)
        found.append(re.sub(r"^([a-z_]+): ", r":param \1: ", line) if begins else line)
    lines[:] = found
