"""This project with one of its levers undone, by the name of what is taken away: what does it give?

The changes are made where this module is imported, since each worker process imports it again.
"""

import sys

LEVER = sys.argv[3]

if LEVER == "uvloop":
    sys.modules |= {"uvloop": None, "httptools": None}  # as if they were not installed

from yololab.__main__ import main  # noqa: E402
from yololab.vision import pixels  # noqa: E402

if LEVER == "simplejpeg":
    pixels.of_jpeg = lambda data, image, part, strict: None
elif LEVER not in ("uvloop", "nothing"):
    sys.exit(f"error: there is no lever {LEVER!r}")

if __name__ == "__main__":
    sys.exit(main(["serve"]))
