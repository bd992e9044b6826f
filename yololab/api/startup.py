"""What is looked at before a server starts: its default model's files and its folders."""

import logging
from collections.abc import Iterator
from contextlib import suppress

from ..errors import NotInstalled, UnknownModel, WrongSetting
from ..vision.models import find, listed
from .settings import Settings, unknown_variables
from .uploads import writable

logger = logging.getLogger(__name__)

Files = list[tuple[str, int, int]]
"""Path, size and time of files."""


def check_default_model(settings: Settings) -> None:
    """Raise WrongSetting where nobody knows the default model: not the folders, not the registry, no lone file."""
    folders = settings.model_folders
    try:
        find(settings.model, folders)
    except NotInstalled:
        return  # it may be installed while the server runs
    except UnknownModel as error:
        halves = [path.stem for folder in folders for end in (".cfg", ".weights") for path in listed(folder, end)]
        if settings.model not in halves:
            raise WrongSetting(f"YOLOLAB_MODEL={settings.model!r} is not possible. {error}") from None


def default_model_files(settings: Settings) -> Files:
    """What lies in the model folders under the default model's name, with any suffix, or as coco.names."""
    files: Files = []
    for folder in settings.model_folders:
        with suppress(OSError):
            for path in folder.iterdir():
                if path.stem == settings.model or path.name == "coco.names":
                    found = path.stat()
                    files.append((str(path), found.st_size, found.st_mtime_ns))
    return sorted(files)


def log_warnings(settings: Settings) -> None:
    """Log what does not stop the start and is hardly meant: unknown variables, folders that are of no use."""
    for sentence in _warnings(settings):
        logger.warning(sentence)


def _warnings(settings: Settings) -> Iterator[str]:
    yield from unknown_variables()
    for folder in settings.listed_folders:
        if not folder.is_dir():
            yield f"The folder {folder} of YOLOLAB_MODEL_PATH does not exist."
    if settings.keep and not writable(settings.uploads):
        yield f"The folder {settings.uploads} cannot be written to: no copies are kept. YOLOLAB_UPLOADS sets another."
