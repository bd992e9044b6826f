"""python -m classroom run | lab | check | progress | grade | times | outputs | colab"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from yololab import __version__
from yololab.interpreter import wrong_python

from . import ROOT

PACKAGES = ("fastapi", "matplotlib", "nbclient", "numpy")  # some of what the lessons need
if wrong_python("classroom", *PACKAGES):
    sys.exit(wrong_python("classroom", *PACKAGES))


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m classroom", description="The lab's notebooks and exercises.")
    parser.add_argument("--version", action="version", version=f"yololab {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND")
    run = commands.add_parser("run", help="run server.ipynb and client.ipynb together, and show what comes out")
    run.set_defaults(run=_run)
    commands.add_parser("lab", help="open JupyterLab on server.ipynb").set_defaults(run=_lab)
    check = commands.add_parser(
        "check", help="check the exercise that runs at URL, e.g. check 04.2 http://127.0.0.1:8000"
    )
    check.add_argument("lesson", help="for example: server, 03 or 03.2")
    check.add_argument("url", nargs="?", default=None, help="default: YOLOLAB_URL, else http://127.0.0.1:8000")
    check.set_defaults(run=_check)
    progress = commands.add_parser("progress", help="show which exercises have been solved")
    progress.set_defaults(run=_progress)
    grade = commands.add_parser(
        "grade", help="check a folder of submitted notebooks and app files; writes a CSV and a page"
    )
    grade.add_argument("folder", type=Path, help="one folder for each student, or files that begin with a name")
    grade.add_argument("--out", type=Path, default=ROOT / "build/grades.csv", help="the page lies beside it (.html)")
    grade.add_argument("--seconds", type=float, default=300, help="that a submission may take")
    grade.add_argument("--memory", type=int, default=4096, help="MB that each process of a submission may take")
    grade.set_defaults(run=_grade)
    times = commands.add_parser("times", help="how many minutes each notebook takes a reader, by a rule")
    times.set_defaults(run=_times)
    outputs = commands.add_parser(
        "outputs", help="run notebooks and keep their outputs in them, for those who only read"
    )
    outputs.add_argument("notebooks", nargs="*", type=Path, help="default: all of them, server.ipynb first")
    outputs.set_defaults(run=_outputs)
    colab = commands.add_parser("colab", help="write the cell that fetches the lab in Google Colab into all notebooks")
    colab.add_argument("address", nargs="?", default="", help="of the repository; default: what README.md clones")
    colab.set_defaults(run=_colab)
    options = parser.parse_args(argv)
    from yololab.serving.addresses import bypass_proxies

    bypass_proxies()
    command: Callable[[argparse.Namespace], int] | None = getattr(options, "run", None)
    if command is None:
        parser.print_help()
        return 0
    return command(options)


def _run(options: argparse.Namespace) -> int:
    from .run import run

    return run()


def _lab(options: argparse.Namespace) -> int:
    command = [sys.executable, "-m", "jupyter", "lab", "server.ipynb"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # in a container or WSL
        print("Running as root, so JupyterLab is started with --allow-root.", file=sys.stderr)
        command.append("--allow-root")
    return subprocess.call(command, cwd=ROOT)


def _check(options: argparse.Namespace) -> int:
    from yololab.api.settings import Settings

    from .checks import check

    return 0 if check(options.lesson, options.url or Settings().url).ok else 1


def _progress(options: argparse.Namespace) -> int:
    from .progress import progress

    print(progress())
    return 0


def _grade(options: argparse.Namespace) -> int:
    from .grade import grade

    return grade(options.folder, options.out, options.seconds, options.memory)


def _times(options: argparse.Namespace) -> int:
    from .times import table

    print(table())
    return 0


def _outputs(options: argparse.Namespace) -> int:
    from .outputs import notebooks, renew
    from .run import Failed

    try:
        renew([path.resolve() for path in options.notebooks] or notebooks())
    except Failed as failure:
        print(f"FAILED. {failure}", file=sys.stderr)
        return 1
    return 0


def _colab(options: argparse.Namespace) -> int:
    from .colab import write

    for path in write(options.address):
        print(f"changed: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUTF8", "1")
    sys.exit(main())
