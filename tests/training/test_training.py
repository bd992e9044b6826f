"""The training: its network is Darknet's, its losses are 0 for a perfect student, a run goes on where it stopped."""

import json
import re
import tarfile

import cv2
import numpy as np
import pytest
from helpers import ROOT

from training import average, evaluate, publish
from training.design import REACH, starter
from yololab.vision.darknet.convert import sections
from yololab.vision.detector import Detector
from yololab.vision.engines.opencv import OpenCVEngine
from yololab.vision.models import find, from_path

MODELS = ROOT / "yololab/vision"
STARTER = MODELS / "starter.cfg"


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="needs PyTorch: pip install -e '.[training]'")


@pytest.fixture
def photos(tmp_path):
    """Four photos: two in a tar file, two in a folder."""
    pictures = sorted((ROOT / "images").glob("*.jpg"))[:4]
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        for path in pictures[:2]:
            archive.add(path, f"first/{path.name}")
    (tmp_path / "second").mkdir()
    for path in pictures[2:]:
        (tmp_path / "second" / path.name).write_bytes(path.read_bytes())
    return [tmp_path / "photos.tar", tmp_path / "second"]


def test_the_starter_has_this_design():
    cfg = STARTER.read_text()
    assert cfg == starter(int(sections(cfg)[0]["width"])).text
    assert STARTER.with_suffix(".weights").stat().st_size <= 4_000_000


def test_the_teacher_answers_as_its_file_does_and_each_stage_ends_as_one_of_its_own(torch, weights):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino", reason="needs OpenVINO: pip install -e '.[training]'")
    from training.network import Network
    from training.teacher import Teacher

    path, stages = weights / "yolox-nano.onnx", starter().stages
    batch = torch.rand(1, 3, 416, 416)
    (rows,) = onnxruntime.InferenceSession(path).run(None, {"images": batch.flip(1).mul(255).numpy()})
    teacher = Teacher(path, list(stages.values()), "cpu")
    heads, features = teacher(batch)
    found = torch.cat([head.flatten(2) for head in heads], 2)[0].T
    np.testing.assert_allclose(found[:, :4], rows[0, :, :4], atol=1e-3)
    np.testing.assert_allclose(found[:, 4:].sigmoid(), rows[0, :, 4:], atol=1e-3)
    channels = Network(starter().text).channels
    assert [channels[layer] for layer in stages] == [feature.shape[1] for feature in features]
    pictures = torch.rand(2, 3, 64, 96)  # any size; and PyTorch, which runs it on a GPU, says what OpenVINO does
    for one, two in zip(teacher._openvino(pictures), teacher._torch(pictures), strict=True):
        assert torch.allclose(one, two, atol=1e-3)


def test_the_network_answers_as_opencv_does(torch, fruit):
    from training.network import Network

    model = from_path(STARTER)
    network = Network(model.cfg.read_text()).load(model.weights)
    picture = cv2.resize(fruit, (320, 320))
    batch = torch.from_numpy(picture[None, :, :, ::-1].copy()).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        heads, _ = network(batch)
    (rows,) = OpenCVEngine(model, (320, 320))([picture])
    for head, anchors in zip(heads, network.anchors, strict=True):
        side = head.shape[2]
        raw = head[0].permute(1, 2, 0).double()
        expected, rows = rows[: side * side].reshape(side, side, 85), rows[side * side :]
        objectness = torch.sigmoid(raw[..., 4:5])
        np.testing.assert_allclose(objectness, expected[..., 4:5], atol=1e-3)
        np.testing.assert_allclose(torch.sigmoid(raw[..., 5:]) * objectness, expected[..., 5:], atol=1e-3)
        np.testing.assert_allclose(torch.exp(raw[..., 2:4]) * anchors[0, 0] / 320, expected[..., 2:4], atol=1e-3)
        centre = torch.sigmoid(raw[..., 0]) * REACH - (REACH - 1) / 2 + torch.arange(side)
        np.testing.assert_allclose(centre / side, expected[..., 0], atol=1e-3)


@pytest.mark.parametrize("groups", [1, 6])
def test_principal_components_change_how_it_learns_and_not_what_it_answers(torch, groups):
    from training.network import Convolution

    options = {"filters": "6", "size": "3", "stride": "2", "padding": "1", "activation": "swish"}
    layer = Convolution(6, options | {"groups": str(groups)})
    batch = torch.rand(4, 6, 16, 16)
    photo, row, column = (torch.randint(most, (500,)) for most in (4, 8, 8))
    with torch.no_grad():
        cells = layer.cells(batch, photo, row, column)
        layer.principal(cells)  # the first time: random coefficients of components that are now known
        before = layer(batch)
        weight, bias = layer.weights()
        by_hand = (cells.transpose(0, 1) @ weight.view(groups, -1, cells.shape[2]).transpose(1, 2)).transpose(0, 1)
        by_hand = torch.nn.functional.silu(by_hand.flatten(1) + bias)
        assert torch.allclose(by_hand, before[photo, :, row, column], atol=1e-4)
        layer.principal(cells**2)
        after = layer(batch)
    assert torch.allclose(before, after, atol=1e-4)


def test_each_stage_learns_alone_what_the_teacher_does(torch):
    from training.alone import Cells
    from training.network import Network

    names = {layer: name for layer, name in starter().stages.items() if name in ("Conv 0", "Conv 2", "Conv 3", "Add 0")}
    design = starter().stages
    teacher, student = Network(starter().text), Network(starter().text)
    chance = torch.Generator().manual_seed(0)
    cells = Cells(student, design, list(names.values()))
    for _ in range(2):
        batch = torch.rand(4, 3, 64, 64, generator=chance)
        with torch.no_grad():
            heads, features = teacher(batch, tuple(design))
        cells.add(batch, heads, features, chance)
    learned = [stage for _, _, stage in cells.stages if stage.inputs]
    assert [(stage.name, len(stage.convolutions)) for stage in learned] == [
        ("Conv 0", 1), ("Conv 2", 2), ("Conv 3", 1), ("Add 0", 2)]  # fmt: skip
    assert learned[0].learn(400, chance) < 0.2  # of the variance
    assert np.isfinite(learned[1].learn(20, chance))


def test_weights_come_back_as_they_were(torch, tmp_path):
    from training.network import Network

    network = Network(starter().text)
    network.save(tmp_path / "net.weights", seen=7)
    network.load(tmp_path / "net.weights").save(tmp_path / "again.weights", seen=7)
    assert (tmp_path / "net.weights").read_bytes() == (tmp_path / "again.weights").read_bytes()
    (tmp_path / "net.weights").write_bytes((tmp_path / "again.weights").read_bytes()[:-4])
    with pytest.raises(ValueError, match="numbers"):
        network.load(tmp_path / "net.weights")


def test_a_stage_that_gets_other_features_answers_to_them(torch):
    from training.network import Network

    design = starter()
    taps = tuple(design.stages)
    network = Network(design.text)
    with torch.no_grad():
        batch = torch.rand(1, 3, 64, 64)
        heads, features = network(batch, taps)
        same, _ = network(batch, taps, dict(zip(taps, features, strict=True)))
        zeros, _ = network(batch, taps, {tap: 0 * each for tap, each in zip(taps, features, strict=True)})
    assert all(torch.equal(a, b) for a, b in zip(heads, same, strict=True))
    assert not torch.equal(heads[0], zeros[0])


def test_losses_are_0_for_a_perfect_student_only(torch):
    from training import losses

    teacher = [torch.randn(2, 85, 4, 4), torch.randn(2, 85, 8, 8)]
    for head in teacher:
        head[:, :2].clamp_(-2, 3)  # cells; the student reaches 2.5 beyond its cell
    perfect = [head.clone() for head in teacher]
    for head in perfect:  # the teacher tells a centre in cells, [yolo] takes it through a sigmoid
        share = (head[:, :2] + (REACH - 1) / 2) / REACH
        head[:, :2] = torch.log(share / (1 - share))
    assert all(abs(part) < 1e-4 for part in losses.answers(perfect, teacher).values())
    for column in (0, 2, 4, 9):
        other = [head.clone() for head in perfect]
        other[1][:, column] += 1
        assert sum(losses.answers(other, teacher).values()) > 1e-3
    stage = torch.randn(2, 3, 8, 8)
    variance = stage.var((0, 2, 3))
    assert losses.features([stage], [stage], [variance]).tolist() == [0]
    wrong = (stage + 1).requires_grad_()
    missed = losses.features([wrong], [stage], [variance])
    assert missed.item() == pytest.approx((1 / variance).mean().item(), rel=1e-4)
    missed.sum().backward()
    assert torch.allclose(wrong.grad, (2 / variance / stage.numel())[:, None, None].expand_as(stage), rtol=1e-3)


def test_photos_are_read_from_tar_files_and_folders_and_altered(torch, photos):
    from training.photos import load, recolour, stream

    sets = load(photos)
    assert {name: len(found) for name, found in sets.items()} == {"first": 2, "second": 2}
    pictures = [photo.picture for found in sets.values() for photo in found]
    assert all(max(picture.shape) == 256 and picture.dtype == np.uint8 for picture in pictures)
    batches, shape = stream(sets, {"first": 2.0}, seed=0, workers=0)
    shape[:] = 5, 96
    batch, boxes = next(batches)
    assert batch.shape == (5, 96, 96, 3) and batch.float().std() > 10 and boxes.shape == (0, 6)
    assert not torch.equal(batch, next(batches)[0])
    assert torch.equal(batch, next(_with_shape(stream(sets, {"first": 2.0}, seed=0, workers=0), (5, 96)))[0])
    colours = recolour(batch, torch.Generator().manual_seed(0))
    assert colours.shape == (5, 3, 96, 96) and colours.min() >= 0 and colours.max() <= 1


def _with_shape(stream, values):
    batches, shape = stream
    shape[:] = values
    return batches


def test_true_boxes_follow_what_is_done_to_a_photo(torch, tmp_path):
    from training.photos import load, stream

    picture = np.zeros((192, 256, 3), np.uint8)
    picture[60:110, 40:120] = 255
    cv2.imwrite(str(tmp_path / "white.png"), picture)
    document = {"images": [{"id": 1, "file_name": "white.png"}],
                "annotations": [{"image_id": 1, "category_id": 48, "bbox": [40, 60, 80, 50]}]}  # fmt: skip
    (tmp_path / "truth.json").write_text(json.dumps(document))
    batch, boxes = next(_with_shape(stream(load([tmp_path]), {}, seed=1, workers=0), (24, 160)))
    assert len(boxes) > 10 and set(boxes[:, 1].tolist()) == {47}
    for number, _, x1, y1, x2, y2 in boxes.tolist():
        inside = batch[int(number), round(y1) : round(y2), round(x1) : round(x2)].float()
        assert inside.numel() == 0 or inside.mean() > 200


def test_the_teacher_is_put_right_by_true_boxes(torch):
    from training import losses, truths

    heads = [torch.full((2, 85, side, side), -5.0) for side in (32, 16, 8)]
    for head in heads:
        head[:, :4] = 0
    heads[1][0, 4, 8, 8], heads[1][0, 5 + 75, 8, 8] = 3, 2  # it sees a vase, class 75, 64 pixels large ...
    heads[1][0, 2:4, 8, 8] = float(np.log(4))
    before = [head.clone() for head in heads]
    truths.correct(heads, torch.tensor([[0, 47, 100, 100, 165, 162.0]]))  # ... and it is an apple, class 47
    assert torch.equal(heads[1][1], before[1][1]), "the other picture stays as it is"
    told = heads[1][0, :, 8, 8]
    assert told[4] == 3 and told[5:].argmax() == 47 and told[5 + 75] < -5
    centre, extent = (told[:2] + 8) * 16, told[2:4].exp() * 16
    assert torch.allclose(torch.cat([centre, extent]), torch.tensor([132.5, 131, 65, 62]), atol=1e-3)
    missed = [head.clone().fill_(-5.0) for head in heads]
    truths.correct(missed, torch.tensor([[1, 11, 10, 10, 40, 40.0]]))  # nothing was seen there
    assert (missed[0][1, 4] > 0).sum() == 5 and losses.answers(heads, heads)["classes"] == pytest.approx(0, abs=1e-4)


@pytest.mark.filterwarnings("ignore::FutureWarning:torch", "ignore::FutureWarning:copyreg")
def test_a_run_goes_on_where_it_stopped(torch, weights, photos, tmp_path, monkeypatch, request):
    import sys

    request.addfinalizer(lambda: torch.set_flush_denormal(False))  # a training sets it for its whole process

    pytest.importorskip("openvino", reason="needs OpenVINO: pip install -e '.[training]'")
    from training import run as runs
    from training import train

    run = tmp_path / "run"
    command = ["train", "--photos", *map(str, photos), "--teacher", str(weights / "yolox-nano.onnx"),
               "--run", str(run), "--workers", "0", "--minutes"]  # fmt: skip
    monkeypatch.setattr(train, "SIDES", [(0.0, (64,))])
    monkeypatch.setattr(train, "PIXELS", {"cpu": 2 * 64**2})
    monkeypatch.setattr(runs, "PHOTOS", 8)
    monkeypatch.setattr(runs, "STEPS", {"convolution": 2, "heads": 2})
    counts = []
    for minutes, *more in ([0.001], [None, "--resume"]):
        minutes = minutes or counts[0]["seconds"] / 60 + 0.001  # one more step
        monkeypatch.setattr(sys, "argv", [*command, str(minutes), *more])
        train.main()
        counts.append(torch.load(run / "state.pt")["counts"])
    assert counts[0]["photos"] == 8 and counts[0]["steps"] < counts[1]["steps"]
    assert counts[1]["photos"] == 8 + 2 * counts[1]["steps"]
    assert (run / "student.weights").stat().st_size == STARTER.with_suffix(".weights").stat().st_size
    Detector(run / "student.cfg")(np.zeros((50, 60, 3), np.uint8))


def test_the_mean_of_runs_and_its_history(tmp_path, monkeypatch):
    runs = [tmp_path / "one", tmp_path / "two"]
    for number, run in enumerate(runs):
        run.mkdir()
        for suffix in ("cfg", "names"):
            (run / f"student.{suffix}").write_bytes(STARTER.with_suffix(f".{suffix}").read_bytes())
        data = STARTER.with_suffix(".weights").read_bytes()
        numbers = np.frombuffer(data[20:], "<f4") * (2 * number)  # 0 and 2 times the starter's: their mean is its own
        (run / "student.weights").write_bytes(data[:20] + numbers.tobytes())
        counts = {"steps": 5, "photos": 30, "seconds": 60.0}
        lines = [dict.fromkeys(counts, 0) | {"sets": {"coco": number}}, counts | {"ap": 0.1, "ap50": 0.25}]
        (run / "log.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    monkeypatch.setattr("sys.argv", ["average", *map(str, runs), "--run", str(tmp_path / "mean")])
    average.main()
    assert (tmp_path / "mean/student.weights").read_bytes() == STARTER.with_suffix(".weights").read_bytes()
    told = publish.history(tmp_path / "mean")
    assert "60 altered photos in 10 steps, in 2 minutes" in told and "| 60 | 2 | 0.100 | 0.250 |" in told
    with pytest.raises(ValueError, match="other sizes"):
        average.mean([bytes(24), bytes(28)])


def test_precision_and_recall_of_a_detector_that_knows_the_truth(coco_sample, monkeypatch):
    def perfect(detector, truth, folder, small):
        every = truth.loadAnns(truth.getAnnIds())
        return [{key: each[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.9} for each in every]

    monkeypatch.setattr(evaluate, "_detect", perfect)
    result = evaluate.score(None, coco_sample)
    at = result.curve.at(0.5)
    assert result.ap50 > 0.99 and at["recall"] > 0.99 and at["photos"] > 0.95
    assert result.curve.at(0.95) == {"precision": 1.0, "recall": 0.0, "photos": 0.0}


def test_the_model_card_says_what_is_measured(coco_sample):
    card, detector = (ROOT / "docs/starter-model.md").read_text(), Detector("starter")
    ap, ap50 = re.search(rf"\| starter \| {detector.size[0]} \| (\S+) \| (\S+) \|", card).groups()
    result = evaluate.score(detector, coco_sample)
    assert (float(ap), float(ap50)) == pytest.approx((result.ap, result.ap50), abs=0.0015)
    assert find("starter", [MODELS]).confidence == result.curve.default()


def test_the_starter_recognises_the_sample_pictures():
    table = publish.recognised([Detector("starter")]).splitlines()[2:]
    assert len(table) == len(list((ROOT / "images").glob("*.jpg")))
    seen = {line.split(" | ")[0].removeprefix("| "): line.split(" | ")[2] for line in table}
    exact = [name for name, what in seen.items() if "missed" not in what and "more" not in what]
    assert len(exact) >= 13, seen


def test_publishing_notes_the_files_in_the_registry(tmp_path, monkeypatch):
    registry, run = tmp_path / "registry.toml", tmp_path / "run"
    run.mkdir()
    registry.write_text((MODELS / "registry.toml").read_text())
    for suffix in ("cfg", "weights", "names"):
        (run / f"student.{suffix}").write_bytes(suffix.encode())
    log = [{"sets": {"voc": 1907}}, {"steps": 2000, "photos": 16000, "seconds": 600, "ap": 0.05, "ap50": 0.1}]
    (run / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in log))
    monkeypatch.setattr(publish, "REGISTRY", registry)
    publish.install(run)
    assert '[files."starter.weights"]\nbytes = 7\nsha256 = "' in registry.read_text()
    assert (tmp_path / "starter.cfg").read_bytes() == b"cfg"
    assert "| 16,000 | 10 | 0.050 | 0.100 |" in publish.history(run)
    assert "| PASCAL VOC | 1,907 | Flickr" in publish.history(run)


def test_every_section_of_the_design_is_one_that_the_converter_knows():
    assert {options["type"] for options in sections(starter().text)} == {
        "net", "convolutional", "shortcut", "maxpool", "route", "upsample", "yolo"}  # fmt: skip
