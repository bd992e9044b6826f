"""One submission, in the process that `grade` starts for it: python -m classroom.submission FILE MEGABYTES"""

import json
import re
import runpy
import sys
from pathlib import Path

from classroom import ROOT


def main(path: Path, megabytes: int) -> int:
    """Run a notebook whole, or check what a Python file makes; what checks find goes where `results` says."""
    _limit(megabytes)
    if not path.read_bytes().strip():
        return _trouble("the file is empty")
    return _notebook(path) if path.suffix.lower() == ".ipynb" else _file(path)


def _trouble(text: str) -> int:
    """Say in one line why nothing could be checked; the exit status."""
    print(text, file=sys.stderr)
    return 1


def _limit(megabytes: int) -> None:
    """The memory that this process, and each that it starts, may take."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, megabytes << 20))


def _notebook(path: Path) -> int:
    """Every cell is run, also after one that fails, as a student would who goes on."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import DeadKernelError

    folder = ROOT if path.stem.startswith(("server", "client")) else ROOT / "notebooks"  # where its links lead from
    try:
        notebook = nbformat.read(path, as_version=4)
        cells = notebook.cells
    except (ValueError, AttributeError, nbformat.ValidationError):
        return _trouble("the file is no notebook")
    client = NotebookClient(
        notebook,
        allow_errors=True,
        timeout=None,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        client.execute()
    except DeadKernelError:
        return _trouble("a cell ended the kernel: os._exit, too much memory, or a crash")
    errors = [output for cell in cells for output in cell.get("outputs", []) if output.output_type == "error"]
    if errors:
        print(f"{errors[0].ename}: {errors[0].evalue}".splitlines()[0], file=sys.stderr)
    return 1 if errors else 0


def _file(path: Path) -> int:
    named = re.match(r"(server|client|\d\d\.\d)(?![\da-z])", path.stem)
    if not named:
        return _trouble("name the file after its exercise, for example 04.1.py or server.py")
    from .checks import check, exercises, lessons

    lesson = named[0].partition(".")[0]
    if lesson not in lessons() or (lesson != named[0] and named[0] not in exercises(lesson)):
        return _trouble(f"there is no exercise {named[0]}: name the file after its exercise, for example 04.1.py")
    try:
        found = runpy.run_path(str(path))
    except SystemExit:
        return _trouble("SystemExit: the file ended itself, by sys.exit() or exit(), before its check")
    expression = checked(named[0])
    name = re.split(r"\W", expression)[0]
    if name not in found and "app" not in found:
        return _trouble(f"the file makes no `{name}`")
    check(named[0], eval(expression, found) if name in found else found["app"])
    return 0


def checked(exercise: str) -> str:
    """What the exercise's notebook gives to its check: `app`, or the name of a function."""
    lesson = exercise.partition(".")[0]
    paths = [ROOT / f"{lesson}.ipynb", *(ROOT / "notebooks").glob(f"{lesson}_*.ipynb")]
    pattern = re.compile(rf"\bcheck\(\"{re.escape(exercise)}\", (.+)\)$", re.M)
    for path in paths:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if path.exists() else []:
            if found := pattern.search("".join(cell["source"])):
                return found[1]
    return "app"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
