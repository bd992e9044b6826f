"""The site: Sphinx builds it from README, docs/, and the notebooks as they are committed (`make site`)."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import http_api  # noqa: E402 (beside this file)
import pages  # noqa: E402
import try_page  # noqa: E402

from yololab import __version__  # noqa: E402

project, author, version, release = "YOLO lab", "the YOLO lab's authors", __version__, __version__
html_title = f"YOLO lab {release}"
root_doc = "docs/index"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx_copybutton"]
include_patterns = [
    "docs/**", "notebooks/**", "benchmarks/*.md", "training/README.md", "training/render/README.md",
    "server.ipynb", "client.ipynb",
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "deploy/*.md",
]  # fmt: skip
exclude_patterns = ["**/.ipynb_checkpoints", "docs/site"]  # what is copied as it is

nb_execution_mode = "off"  # the outputs are those that the notebooks hold
nb_merge_streams = True
myst_heading_anchors = 4
myst_heading_slug_func = "pages.slug"
myst_enable_extensions = ["colon_fence"]
suppress_warnings = ["mystnb.unknown_mime_type"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "furo"
pygments_dark_style = "github-dark"  # furo's own underlines what is imported, as if it were a link
html_favicon = "../yololab/api/pages/shared/icon.svg"
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_extra_path = ["site/extra"]  # index.html, which leads to docs/index.html
html_show_sourcelink = False
html_theme_options = {"sidebar_hide_name": False, "navigation_with_keys": True}


def finish(app, problem) -> None:
    """Add what Sphinx does not know of: the page that runs the model in the visitor's browser."""
    if problem is None and app.builder.format == "html":
        try:
            try_page.write(Path(app.outdir))
        except OSError as error:  # of the network, too
            print(f"The pages under try/ are left out, since onnxruntime-web cannot be had: {error}", file=sys.stderr)


def setup(app) -> None:
    app.connect("build-finished", finish)
    app.connect("builder-inited", lambda app: http_api.write(ROOT / "docs/http_api.md"))
    app.connect("source-read", pages.prepare)
    app.connect("autodoc-process-docstring", pages.fields)
