"""What a command says where it runs in a Python that cannot run the lab: which one can, and how it is called.

The syntax is that of Python 3.6, so that an old one can read it.
"""
# ruff: noqa: UP032, RUF005

import os
import sys
from importlib.util import find_spec

OLDEST = (3, 11)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def wrong_python(module: str, *packages: str) -> str:
    """Two or three lines where this Python is too old for `python -m MODULE`, or lacks one of the packages; else ""."""
    version = "{}.{}.{}".format(*sys.version_info[:3])
    missing = [name for name in packages if find_spec(name) is None]
    if sys.version_info < OLDEST:
        wrong = "The lab needs Python 3.11 or newer; {} is Python {}.".format(sys.executable, version)
    elif missing:
        wrong = "{} lacks packages of the lab: {}.".format(sys.executable, ", ".join(missing))
    else:
        return ""
    folder = os.path.join(".venv", "Scripts" if os.name == "nt" else "bin")
    if os.path.isdir(os.path.join(ROOT, folder)):
        command = " ".join([os.path.join(folder, "python"), "-m", module] + sys.argv[1:])
        return "{}\nUse the Python into which the lab was installed; in {}:\n  {}".format(wrong, ROOT, command)
    if not os.path.exists(os.path.join(ROOT, "Makefile")):  # an installed package, not the repository
        return wrong + "\nInstall it there, or use the Python into which it was installed."
    newer = "Get a newer one, for example from https://www.python.org/downloads/, then: "
    newer = newer if sys.version_info < OLDEST else "Install the lab: "
    return "{}\n{}`make run` in {}, or the lines of docs/install.md.".format(wrong, newer, ROOT)
