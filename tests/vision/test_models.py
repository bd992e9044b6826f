"""Which models there are: the registry, the folders, names from strangers."""

import shutil
import tomllib

import pytest
from helpers import PACKAGE

from yololab.errors import BrokenModel, DownloadFailed, NotInstalled, UnknownModel
from yololab.vision.detector import Detector
from yololab.vision.models import find, from_path, installed
from yololab.vision.models import model as model_module
from yololab.vision.models.download import fetch
from yololab.vision.models.entries import REGISTRY, Entry, RemoteFile, registry, sha256

STARTER = PACKAGE
CFG = "[net]\nwidth = 320\nheight=192\n[yolo]\nclasses=2\n"


def put(folder, name="mine", cfg=CFG, weights=b"weights", **others):
    """A model of a few bytes in `folder`; others: texts of further files, by their suffix."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.cfg").write_text(cfg)
    (folder / f"{name}.weights").write_bytes(weights)
    for suffix, text in others.items():
        (folder / f"{name}.{suffix}").write_text(text)
    return folder


def starter_in(folder):
    for suffix in ("cfg", "weights", "names"):
        shutil.copy(STARTER / f"starter.{suffix}", folder)
    return from_path(folder / "starter.cfg")


# the registry


def test_every_entry_is_sane():
    assert {"starter", "yolov3-tiny", "yolov3", "yolov4-tiny", "yolov4"} < set(registry())
    for name, entry in registry().items():
        assert isinstance(entry, Entry) and entry.name == name and 0 < entry.confidence < 1
        assert entry.about.endswith(".") and entry.licence
        labels, *network = (file.name for file in entry.files)  # in this order: the last one completes a model
        assert network in ([f"{name}.cfg", f"{name}.weights"], [f"{name}.onnx"]) and labels.endswith(".names")
        assert entry.weights.name == network[-1]
        for file in entry.files:
            assert isinstance(file, RemoteFile) and "/" not in file.name
            assert len(file.sha256) == 64 and set(file.sha256) <= set("0123456789abcdef")
            assert file.bytes is None or 0 < file.bytes < 512 * 2**20
            assert all(url.startswith("https://") for url in file.mirrors)
            assert bool(file.mirrors) == (name != "starter")


def test_the_registry_lists_no_file_that_no_model_uses():
    table = tomllib.loads(REGISTRY.read_text(encoding="utf-8"))
    assert set(table["files"]) == {file.name for entry in registry().values() for file in entry.files}


def test_real_models_are_those_of_the_registry(weights):
    for name in ("mobilenetv2-yolov3-nano", "yolo-fastest-1.1-xl"):
        model = find(name, [weights])
        model.verify()
        assert model.labels()[0] == "person" and model.classes == 80 and model.input_size == (320, 320)


# what is installed


def test_the_first_folder_wins_and_missing_ones_are_fine(tmp_path):
    first, second = put(tmp_path / "first"), put(tmp_path / "second")
    put(second, "other.v1")
    (second / "lonely.cfg").write_text(CFG)
    found = installed([tmp_path / "nowhere", first, second])
    assert {name: model.cfg.parent for name, model in found.items()} == {"mine": first, "other.v1": second}
    assert find("mine", [second, first]).weights == second / "mine.weights"


def test_names_that_are_known_unknown_or_hostile(tmp_path):
    here = [put(tmp_path / "here")]
    (tmp_path / "secret.cfg").write_text(CFG)
    (tmp_path / "secret.weights").write_bytes(b"")
    with pytest.raises(NotInstalled, match=r"^The model 'yolov3-tiny' is known but not installed\. ") as caught:
        find("yolov3-tiny", here)
    assert str(caught.value).endswith("Install it with: python -m yololab fetch yolov3-tiny")
    with pytest.raises(NotInstalled, match="git checkout -- yololab/vision"):
        find("starter", here)
    with pytest.raises(UnknownModel, match=r"There is no model 'x'\. Installed: mine; known: .*yolov3"):
        find("x", here)
    for name in ("../secret", "../../etc/passwd", "", "a\0b", "*", ".", str(tmp_path / "secret"), "x" * 10**6):
        with pytest.raises(UnknownModel, match="There is no model") as caught:
            find(name, here)
        assert not isinstance(caught.value, NotInstalled) and len(str(caught.value)) < 1000


def test_a_path_to_a_cfg(tmp_path):
    assert from_path(put(tmp_path / "here") / "mine.cfg").name == "mine"
    (tmp_path / "lonely.cfg").write_text(CFG)
    with pytest.raises(BrokenModel, match=r"lonely\.weights"):
        from_path(tmp_path / "lonely.cfg")
    for name in ("nothing.cfg", "here/mine.weights", "here"):
        with pytest.raises(UnknownModel, match="no Darknet cfg and no ONNX"):
            from_path(tmp_path / name)


# one model


@pytest.mark.parametrize("name", ["mine.ONNX", "mine.Onnx", "mine.CFG"])
def test_an_ending_in_capitals_says_what_to_do(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UnknownModel, match=f"Rename it to {name.lower()}"):
        from_path(tmp_path / name)


def test_own_labels_come_before_those_of_coco(tmp_path):
    put(tmp_path, "coco", names="person\nbicycle\n")
    assert from_path(put(tmp_path) / "mine.cfg").labels() == ["person", "bicycle"]
    own = from_path(put(tmp_path, names="\ufeffapple\r\n pear \n\n") / "mine.cfg")
    assert own.labels() == ["apple", "pear"] and own.classes == 2


def test_labels_that_are_missing_or_do_not_fit_say_what_to_do(tmp_path):
    with pytest.raises(BrokenModel, match=r"put mine\.names or coco\.names"):
        from_path(put(tmp_path) / "mine.cfg").labels()
    with pytest.raises(BrokenModel, match=r"1 labels, and mine\.cfg has 2 classes"):
        from_path(put(tmp_path, names="apple\n") / "mine.cfg").labels()
    broken = from_path(put(tmp_path, cfg="no cfg", names="apple\n") / "mine.cfg")
    for look in (broken.labels, lambda: broken.input_size, lambda: broken.classes):
        with pytest.raises(BrokenModel, match=r"mine\.cfg.* no "):
            look()


def test_size_digest_and_confidence(tmp_path, monkeypatch):
    model = from_path(put(tmp_path, weights=b"abc") / "mine.cfg")
    assert model.input_size == (320, 192) and model.bytes == 3 and model.confidence == 0.5
    assert model.sha256() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    model.verify()  # nobody knows what it should be
    with monkeypatch.context() as patch:
        patch.setattr(model_module, "sha256", None)  # the file is not read a second time
        assert model.sha256().startswith("ba7816bf")
    model.weights.write_bytes(b"abcd")
    assert model.sha256().startswith("88d4266f")
    assert find("starter", [STARTER]).confidence == registry()["starter"].confidence < 0.5


def test_a_toml_beside_a_cfg(tmp_path):
    model = starter_in(tmp_path)
    toml = tmp_path / "starter.toml"
    toml.write_text("size = [320, 192]\nconfidence = 0.7\n")
    assert model.confidence == 0.7 and model.input_size == (320, 192) == Detector(model).size
    toml.write_text('color = "bgr"\n')
    with pytest.raises(BrokenModel, match=r"starter\.toml says color, which a Darknet cfg decides"):
        Detector(model)


@pytest.mark.parametrize("suffix", ["cfg", "weights", "names"])
def test_verify_finds_a_flipped_bit(tmp_path, suffix):
    model = starter_in(tmp_path)
    model.verify()
    path = tmp_path / f"starter.{suffix}"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BrokenModel, match=rf"starter\.{suffix} .*then run: git checkout -- yololab/vision"):
        model.verify()
    assert model.note.startswith(f"starter.{suffix} is another file of this name than the registry's; it is served")


# fetching by name; test_download.py has the rest


def test_fetch_by_name(tmp_path, monkeypatch):
    assert fetch("starter", STARTER) == find("starter", [STARTER])  # all in place: nothing to do
    with pytest.raises(DownloadFailed, match="git checkout -- yololab/vision"):
        fetch("starter", tmp_path)
    (tmp_path / "own.names").write_text("a\n")
    (tmp_path / "net.onnx").write_bytes(b"x")
    files = tuple(RemoteFile(each, None, sha256(tmp_path / each), ("https://x",)) for each in ("own.names", "net.onnx"))
    entry = Entry("net", 0.5, "A network.", "MIT", files)
    monkeypatch.setattr("yololab.vision.models.download.registry", lambda: {"net": entry})
    assert fetch("net", tmp_path).path == tmp_path / "net.onnx"
    monkeypatch.undo()
    for name in ("nothing", "../starter", ""):
        with pytest.raises(UnknownModel, match=r"There is no model .* known: .*yolov3"):
            fetch(name, tmp_path)
