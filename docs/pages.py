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
    """Sphinx's event source-read: anchors of JupyterLab, which keep case and punctuation, become the site's."""
    text = re.sub(
        r"\]\(([\w./]*\.ipynb)?#([^)\\]+)\)", lambda found: f"]({found[1] or ''}#{slug(found[2])})", content[0]
    )
    if text.startswith("{"):
        text = attached(text)
        text = with_buttons(text, f"{name}.ipynb") if REPOSITORY else text
    content[0] = text


def attached(text: str) -> str:
    """A notebook's JSON with the pictures that are attached to its cells as data in the text."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        for name, kinds in cell.pop("attachments", {}).items():
            (kind, data), *_ = kinds.items()
            source = "".join(cell["source"]).replace(f"attachment:{name}", f"data:{kind};base64,{data.strip()}")
            cell["source"] = [source]
    return json.dumps(notebook)


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


def with_buttons(text: str, path: str) -> str:
    """A notebook's JSON with a line below the title that opens it where it can run."""
    notebook = json.loads(text)
    links = {
        "Colab": f"https://colab.research.google.com/github/{REPOSITORY}/blob/{BRANCH}/{path}",
        "Binder": f"https://mybinder.org/v2/gh/{REPOSITORY}/{BRANCH}?labpath={path}",
        "Codespaces": f"https://codespaces.new/{REPOSITORY}?quickstart=1",
    }
    line = "Open it in " + ", ".join(f"[{place}]({url})" for place, url in links.items()) + "."
    notebook["cells"].insert(1, {"cell_type": "markdown", "id": "open-in", "metadata": {}, "source": [line]})
    return json.dumps(notebook)
