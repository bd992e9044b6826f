"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4


@dataclass
class Part:
    """A file that is being written under another name. keep: whether it is whole."""

    path: Path
    keep: bool = False


@contextmanager
def replacing(path: Path) -> Iterator[Part]:
    """Write to `part.path` and set `part.keep`: at the end it takes the place of `path`, else it is removed.

    The other name lies in the same folder and has the same suffix. A device or a pipe is written to directly.
    """
    if path.exists() and not path.is_file():
        yield Part(path)
        return
    path = Path(os.path.realpath(path))  # of a symbolic link, which stays
    part = Part(path.with_name(f".yololab-{uuid4().hex}{path.suffix}"))
    try:
        yield part
    finally:
        if part.keep:
            os.replace(part.path, path)
        else:
            part.path.unlink(missing_ok=True)
