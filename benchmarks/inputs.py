"""What every measurement takes from the command line: a model and a folder of photos."""

import argparse
import sys
from pathlib import Path

from benchmarks import ROOT
from yololab.api.settings import Settings
from yololab.errors import LabError
from yololab.vision.models import find


def arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Add --model and --photos to `parser` and read the command line.

    model: becomes the path of the installed model's cfg. photos: a folder with JPEGs, by default the sample pictures.
    Ends the program with one sentence where there is no such model or folder.
    """
    parser.add_argument("--model", default="mobilenetv2-yolov3-nano", help="an installed model (default: %(default)s)")
    parser.add_argument("--photos", type=Path, default=ROOT / "images", help="a folder of JPEGs (default: images)")
    options = parser.parse_args()
    check_photos(options.photos)
    try:
        options.model = find(options.model, Settings().model_folders).cfg.resolve()
    except LabError as error:
        sys.exit(f"error: {error}")
    return options


def check_photos(folder: Path) -> None:
    """End the program with one sentence where `folder` holds no JPEG."""
    if not any(folder.glob("*.jpg")):
        sys.exit(
            f"error: There is no .jpg file in {folder}. Pass a folder of photos; those of RESULTS.md come with "
            "`python -m benchmarks.photos FOLDER` and then lie in FOLDER/images."
        )
