"""Where files lie: in the lab's repository around the working folder, else in the working folder, and in the cache."""

from pathlib import Path

from platformdirs import user_cache_path


def repository() -> Path | None:
    """The lab's repository that the working folder lies in, or None: the package also works without it."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "server.ipynb").is_file() and (folder / "yololab" / "paths.py").is_file():
            return folder
    return None


def base() -> Path:
    """Where relative paths in settings start: the repository's root, outside of it the working folder."""
    return repository() or Path.cwd()


def user_cache(folder: str) -> Path:
    """A folder of the user's cache: "models" is where fetched ones lie, "onnx" where converted ones do."""
    return user_cache_path("yololab") / folder
