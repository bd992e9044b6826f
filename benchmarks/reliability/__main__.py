"""`python -m benchmarks.reliability [NAME ...]`: try the scenarios and write what they gave into RELIABILITY.md."""

import argparse
import sys

from benchmarks import ROOT
from benchmarks.inputs import arguments
from benchmarks.run import machine, photos

from .bench import Bench, Lines
from .costly.measure import costly
from .faults import bomb, hung, killed
from .overload import impatient, overload, slow_clients

PAGE = ROOT / "benchmarks" / "RELIABILITY.md"
MARK = "<!-- {} -->"
SCENARIOS = {each.__name__: each for each in (overload, impatient, slow_clients, killed, hung, bomb, costly)}


def write(name: str, lines: Lines) -> None:
    """Replace what stands between a scenario's marks in RELIABILITY.md."""
    mark = MARK.format(name)
    before, _, after = PAGE.read_text().split(mark)
    table = "\n".join(["| what | figure |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in lines)])
    PAGE.write_text(f"{before}{mark}\n{table}\n{mark}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Try overload and faults on the running API.")
    parser.add_argument("names", nargs="*", default=list(SCENARIOS), help=", ".join(SCENARIOS))
    options = arguments(parser)
    (ROOT / "build").mkdir(exist_ok=True)
    bench = Bench(options.model, photos(options.photos, 640), photos(options.photos, 4000)[:1])
    write("machine", [("model", f"{options.model.stem} at 416"), *machine().items()])
    for name in options.names:
        print(name, flush=True)
        lines = SCENARIOS[name](bench)
        for what, figure in lines:
            print(f"    {what}: {figure}", flush=True)
        write(name, lines)


if __name__ == "__main__":
    sys.exit(main())
