"""python -m yololab: serve | run | lab | fetch | models | doctor | check"""

import argparse
import os
import subprocess
import sys

from .errors import LabError
from .settings import ROOT, Settings, user_cache


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m yololab", description="Learn to deploy a detection model.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve the API from this terminal")
    serve.add_argument("--host", help="default: YOLOLAB_HOST, else 127.0.0.1")
    serve.add_argument("--port", type=int, help="default: YOLOLAB_PORT, else 8000; 0 takes a free one")
    commands.add_parser("run", help="run server.ipynb and client.ipynb together, and show what comes out")
    commands.add_parser("lab", help="open JupyterLab on server.ipynb")
    fetch = commands.add_parser("fetch", help="download a model and verify it")
    fetch.add_argument("name", nargs="+", help="its name, see: python -m yololab models")
    commands.add_parser("models", help="list the models, installed and known")
    commands.add_parser("doctor", help="say what is right and wrong on this machine")
    check = commands.add_parser("check", help="check an exercise's running API")
    check.add_argument("lesson", help="for example: server")
    check.add_argument("url", nargs="?", default=None, help="default: YOLOLAB_URL, else http://127.0.0.1:8000")
    options = parser.parse_args(argv)
    try:
        return globals()[f"_{options.command}"](options)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _serve(options) -> int:
    given = {key: value for key in ("host", "port") if (value := getattr(options, key)) is not None}
    settings = Settings(**given)
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(settings.max_pixels))  # before cv2 is imported
    from .terminal import serve

    return serve(settings)


def _run(options) -> int:
    from .notebooks import run

    return run()


def _lab(options) -> int:
    return subprocess.call([sys.executable, "-m", "jupyter", "lab", "server.ipynb"], cwd=ROOT)


def _fetch(options) -> int:
    from .download import fetch
    from .models import installed

    here = installed(Settings().model_folders)
    for name in options.name:
        model = here.get(name) or fetch(name, user_cache("models"))
        model.verify()
        print(f"{model.name} is installed and verified: {model.weights}")
    return 0


def _models(options) -> int:
    from .models import installed, registry

    here = installed(Settings().model_folders)
    for name in sorted({*here, *registry()}):
        entry = registry().get(name)
        state = "installed" if name in here else f"python -m yololab fetch {name}"
        print(f"{name:<26} {state:<46} {entry.about if entry else here[name].cfg.parent}")
    return 0


def _doctor(options) -> int:
    from .doctor import examine

    return examine()


def _check(options) -> int:
    from .checks import check

    return 0 if check(options.lesson, options.url or Settings().url).ok else 1


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUTF8", "1")
    sys.exit(main())
