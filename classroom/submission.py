"""One submission, in the process that `grade` starts for it: python -m classroom.submission FILE MEGABYTES"""

import re
import runpy
import sys
from pathlib import Path

from classroom import ROOT


def main(path: Path, megabytes: int) -> int:
    """Run a notebook whole, or check the app of a Python file; what checks find goes where `results` says."""
    _limit(megabytes)
    return _notebook(path) if path.suffix == ".ipynb" else _app(path)


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
    notebook = nbformat.read(path, as_version=4)
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
        print("a cell ended the kernel: os._exit, too much memory, or a crash", file=sys.stderr)
        return 1
    errors = [output for cell in notebook.cells for output in cell.get("outputs", []) if output.output_type == "error"]
    if errors:
        print(f"{errors[0].ename}: {errors[0].evalue}".splitlines()[0], file=sys.stderr)
    return 1 if errors else 0


def _app(path: Path) -> int:
    from .checks import check

    named = re.match(r"(?:server|client|\d\d\.\d)", path.stem)
    if not named:
        print("name the file after its exercise, for example 04.1.py or server.py", file=sys.stderr)
        return 1
    found = runpy.run_path(str(path))
    if "app" not in found:
        print("the file makes no `app`", file=sys.stderr)
        return 1
    check(named[0], found["app"])
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
