"""The options of `yololab detect`; imports nothing heavy, so that every other command starts at once."""

import argparse
from pathlib import Path

CODECS = {"h264": "avc1", "mpeg4": "mp4v", "vp9": "vp09"}
"""What --codec may say, the best first, and the four-character code (fourcc) of each in an mp4 file.

H.264 plays everywhere, and the OpenCV of PyPI for Linux has no encoder for it. MPEG-4 Part 2 plays in players, not in
browsers; VP9 in both, but OpenCV's encoder of it takes 10 to 30 times as long, more than the detection.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `yololab detect` to its parser."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="pictures, folders, patterns such as '*.jpg', videos; 0, rtsp:// or http:// for a camera",
    )
    parser.add_argument("--model", help="a name, or the path of a model file; default: YOLOLAB_MODEL, else starter")
    parser.add_argument(
        "--confidence", type=_fraction, help="leave out detections below this, 0 to 1; default: the model's own"
    )
    parser.add_argument("--nms-threshold", type=_fraction, help="of two boxes that overlap more, the better stays")
    parser.add_argument(
        "--out", type=Path, default=Path("detected"), help="folder for annotated copies (default: detected)"
    )
    parser.add_argument(
        "--save", action=argparse.BooleanOptionalAction, default=True, help="write annotated copies (default: yes)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the detections as JSON, as the API has them")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write one line for each box")
    parser.add_argument(
        "--coco", type=Path, metavar="FILE", help="write COCO results for pycocotools; image_id is the "
        "file's name as a number if all names are numbers, else 1, 2, 3 ..."
    )  # fmt: skip
    parser.add_argument("--stride", type=_positive, default=1, help="of a video take each Nth frame only (default: 1)")
    parser.add_argument(
        "--codec",
        choices=CODECS,
        help="of annotated videos; default: h264 where it works here, else mpeg4; vp9 is slow, and plays in browsers",
    )


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)
