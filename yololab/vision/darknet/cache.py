"""Networks as ONNX files: converted once, kept under the SHA-256 of what they were made from."""

import hashlib
import logging
import os
from pathlib import Path
from tempfile import NamedTemporaryFile

from ...errors import BrokenModel
from ...paths import user_cache
from ..models import Model
from . import cfg, convert, heads, layers, plan

CONVERTER = (convert, cfg, heads, layers, plan)
logger = logging.getLogger(__name__)


def converted(model: Model, size: tuple[int, int], folder: Path | None = None) -> Path | bytes:
    """The ONNX file of a model for pictures of `size` (width, height), see `convert.to_onnx`; made where it is missing.

    The same bytes of cfg and weights, size and converter give the same file, whoever asks first. Where `folder` (by
    default in the user's cache) cannot be written, the content itself. Raises BrokenModel.
    """
    plan.checked(model.cfg, model.weights, size)
    text = model.cfg.read_bytes()
    digest = hashlib.sha256()
    for module in CONVERTER:
        digest.update(Path(str(module.__file__)).read_bytes())
    for part in (repr(size).encode(), bytes.fromhex(model.sha256()), text):
        digest.update(part)
    folder = folder or user_cache("onnx")
    for path in folder.glob(f"{digest.hexdigest()}-*.onnx"):
        if path.stem.endswith(f"-{path.stat().st_size}"):  # else it was cut off, and is made anew
            return path
    try:
        content: bytes = convert.to_onnx(cfg.read(model.cfg), model.weights.read_bytes(), size).SerializeToString()
    except BrokenModel as error:
        raise BrokenModel(f"{model.cfg} with {model.weights.name}: {error}") from error
    path = folder / f"{digest.hexdigest()}-{len(content)}.onnx"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as file:
            unfinished = Path(file.name)
        try:
            with unfinished.open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            unfinished.replace(path)  # nobody ever reads half a file; Windows renames only what is closed
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
    except OSError as error:
        logger.warning("the converted network is not kept in %s: %s", folder, error)
        return content
    return path
