"""yololab serve | detect | fetch | models | doctor"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from . import __version__
from .interpreter import wrong_python

PACKAGES = ("cv2", "fastapi", "numpy", "onnxruntime", "pydantic_settings")  # some of what the commands need
if wrong_python("yololab", *PACKAGES):
    sys.exit(wrong_python("yololab", *PACKAGES))

from .detect.options import add_arguments as detect_arguments  # noqa: E402
from .errors import LabError  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0 done, 1 an error that is explained in one sentence."""
    parser = argparse.ArgumentParser(
        prog="python -m yololab", description="Serve an object-detection model as a web API."
    )
    parser.add_argument("--version", action="version", version=f"yololab {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve the API from this terminal")
    serve.description = (
        "Serve the API until Ctrl+C. Its settings are YOLOLAB_* variables or lines of .env: docs/api.md."
    )
    serve.add_argument("--host", help="default: YOLOLAB_HOST, else 127.0.0.1")
    serve.add_argument("--port", type=int, help="default: YOLOLAB_PORT, else 8000; 0 takes a free one")
    serve.set_defaults(run=_serve)
    detect = commands.add_parser("detect", help="find objects in pictures, folders, videos or a camera")
    detect_arguments(detect)
    detect.set_defaults(run=_detect)
    fetch = commands.add_parser("fetch", help="download a model and verify it")
    fetch.add_argument("name", nargs="+", help="its name, see: python -m yololab models")
    fetch.set_defaults(run=_fetch)
    models = commands.add_parser("models", help="list the models, installed and known; add one of your own")
    models.set_defaults(run=_models)
    add = models.add_subparsers(metavar="COMMAND").add_parser("add", help="check a model of your own and serve it")
    add.description = (
        "Check a model, run it once, say what it is, and copy it into the user's model folder, from where it is served "
        "as ?model=NAME. Labels come from NAME.names beside it, else from the ONNX file, else from coco.names there; "
        "what the file cannot tell stands in NAME.toml, see docs/models.md."
    )
    add.add_argument("file", type=Path, nargs="+", help="a .onnx, or a .cfg beside its .weights")
    add.add_argument("--dry-run", action="store_true", help="check it and copy nothing")
    add.set_defaults(run=_add)
    commands.add_parser("doctor", help="say what is right and wrong on this machine").set_defaults(run=_doctor)
    options = parser.parse_args(argv)
    run: Callable[[argparse.Namespace], int] | None = getattr(options, "run", None)
    if run is None:
        parser.print_help()
        return 0
    try:
        status = run(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _serve(options: argparse.Namespace) -> int:
    from .api.settings import Settings

    given = {key: getattr(options, key) for key in ("host", "port")}
    settings = Settings(**{key: value for key, value in given.items() if value is not None})
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(settings.max_pixels))  # before cv2 is imported
    from .serving.terminal import serve

    return serve(settings)


def _detect(options: argparse.Namespace) -> int:
    from .detect.command import detect

    return detect(options)


def _fetch(options: argparse.Namespace) -> int:
    from .api.settings import Settings
    from .paths import user_cache
    from .vision.models import installed
    from .vision.models.download import fetch

    here = installed(Settings().model_folders)
    for name in options.name:
        model = here.get(name) or fetch(name, user_cache("models"))
        model.verify()
        print(f"{model.name} is installed and verified: {model.weights}")
    return 0


def _models(options: argparse.Namespace) -> int:
    from .api.settings import Settings
    from .vision.models import installed, registry

    here = installed(Settings().model_folders)
    for name in sorted({*here, *registry()}):
        entry = registry().get(name)
        state = "installed" if name in here else f"python -m yololab fetch {name}"
        print(f"{name:<26} {state:<46} {entry.about if entry else here[name].path.parent}")
    return 0


def _add(options: argparse.Namespace) -> int:
    from .api.settings import Settings
    from .paths import user_cache
    from .vision.models.adding import check, copy

    settings = Settings()
    for file in options.file:
        checked = check(file, settings.chosen_engine)
        print(checked)
        if options.dry_run:
            print(f"  copied     nothing; without --dry-run it is served as ?model={checked.model.name}")
            continue
        served = any(file.resolve().parent == folder.resolve() for folder in settings.model_folders)
        path = file if served else copy(checked.model, user_cache("models"))
        print(f"  served     from {path.parent}, as ?model={checked.model.name}, or YOLOLAB_MODEL={checked.model.name}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from .doctor import examine

    return examine()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUTF8", "1")
    sys.exit(main())
