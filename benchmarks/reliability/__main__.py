"""`python -m benchmarks.reliability [NAME ...]`: try the scenarios and write what they gave into RELIABILITY.md."""

import argparse
import sys

from benchmarks import ROOT
from benchmarks.inputs import arguments
from benchmarks.run import machine, photos

from .bench import Bench, Lines
from .container import container
from .costly.measure import costly
from .faults import bomb, hung, killed
from .overload import impatient, overload, slow_clients
from .soak.disk import in_own_namespace
from .soak.run import soak

PAGE = ROOT / "benchmarks" / "RELIABILITY.md"
MARK = "<!-- {} -->"
SCENARIOS = {each.__name__: each for each in (overload, impatient, slow_clients, killed, hung, bomb, costly, container)}


def write(name: str, lines: Lines) -> None:
    """Replace what stands between a scenario's marks in RELIABILITY.md."""
    mark = MARK.format(name)
    before, _, after = PAGE.read_text().split(mark)
    table = "\n".join(["| what | figure |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in lines)])
    PAGE.write_text(f"{before}{mark}\n{table}\n{mark}{after}")


def main() -> int:
    """The exit status: 1 where the soak has lost, left or answered something wrong."""
    parser = argparse.ArgumentParser(description="Try overload and faults on the running API.")
    parser.add_argument("names", nargs="*", default=list(SCENARIOS), help=", ".join([*SCENARIOS, "soak"]))
    parser.add_argument("--minutes", type=float, default=10, help="of the soak, which runs only where it is named")
    parser.add_argument("--dry", action="store_true", help="write nothing into RELIABILITY.md")
    options = arguments(parser)
    if "soak" in options.names:
        in_own_namespace()
    (ROOT / "build").mkdir(exist_ok=True)
    bench = Bench(options.model, photos(options.photos, 640), photos(options.photos, 4000)[:1])
    if not options.dry:
        write("machine", [("model", options.model.stem), *machine().items()])
    failures: list[str] = []
    for name in options.names:
        print(name, flush=True)
        if name == "soak":
            lines, failures = soak(bench, options.minutes)
        else:
            lines = SCENARIOS[name](bench)
        for what, figure in lines:
            print(f"    {what}: {figure}", flush=True)
        if not options.dry:
            write(name, lines)
    for failure in failures[:50]:
        print(f"FAILED {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
