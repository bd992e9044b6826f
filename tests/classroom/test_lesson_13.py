"""Lesson 13's checks, both ways: solutions pass; skeletons and typical mistakes fail with the right hint."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from fastapi import FastAPI, HTTPException
from google.protobuf import descriptor_pb2
from google.protobuf.json_format import MessageToDict
from grpc_tools import protoc
from helpers import ROOT
from pydantic import Base64Bytes, BaseModel

from classroom.checks import check
from classroom.checks.lesson_13 import SERVICE, STATUS, messages
from yololab import Detector, decode
from yololab.errors import LabError

Request, Response, CountResponse = (messages()[name] for name in ("DetectRequest", "DetectResponse", "CountResponse"))


@pytest.fixture(scope="module")
def detector():
    return Detector("starter")


def detect(request, context):
    return Response(model="starter")


def counting(detector, least=lambda request: request.confidence if request.HasField("confidence") else None):
    def count(request, context):
        try:
            if not 0 <= request.confidence <= 1:
                raise LabError("confidence")
            found = detector(decode(request.picture), least(request))
        except LabError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return CountResponse(counts=Counter(each.label for each in found))

    return count


@contextmanager
def serving(**methods):
    """A service with these methods; its address."""
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(each, Request.FromString, lambda answer: answer.SerializeToString())
        for name, each in methods.items()
    }
    server = grpc.server(ThreadPoolExecutor(4), [grpc.method_handlers_generic_handler(SERVICE, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(5).wait()


def test_count_solution_passes(detector, capsys):
    with serving(Detect=detect, Count=counting(detector)) as address:
        assert check("13.1", address).ok
    assert "well done" in capsys.readouterr().out


def test_count_skeleton_is_told_to_add_the_method(capsys):
    with serving(Detect=detect) as address:
        assert not check("13.1", address).ok
    out = capsys.readouterr().out
    assert "UNIMPLEMENTED: no Count in contract or class" in out and out.count("NOT YET") == 1


def test_count_that_is_misspelt_in_the_class(capsys):
    def generated(request, context):  # as in the base class that protoc writes
        context.set_code(grpc.StatusCode.UNIMPLEMENTED)
        context.set_details("Method not implemented!")
        raise NotImplementedError("Method not implemented!")

    with serving(Detect=detect, Count=generated) as address:
        assert not check("13.1", address).ok
    out = capsys.readouterr().out
    assert "there is no method Count in the class" in out and "your line" not in out


def test_count_that_is_not_finished_is_shown_with_its_line(capsys):
    def count(request, context):
        raise NotImplementedError("later")

    with serving(Detect=detect, Count=count) as address:
        assert not check("13.1", address).ok
    assert 'raise NotImplementedError("later")' in capsys.readouterr().out


def test_count_with_nobody_there(capsys):
    assert not check("13.1", "127.0.0.1:9").ok
    assert "nobody listens" in capsys.readouterr().out


def test_count_that_takes_unset_for_zero(detector, capsys):
    with serving(Detect=detect, Count=counting(detector, lambda request: request.confidence)) as address:
        assert not check("13.1", address).ok
    assert "otherwise it reads as 0" in capsys.readouterr().out


def test_count_that_takes_zero_for_unset(detector, capsys):
    with serving(Detect=detect, Count=counting(detector, lambda request: request.confidence or None)) as address:
        assert not check("13.1", address).ok
    out = capsys.readouterr().out
    assert "not whether it is true" in out and out.count("NOT YET") == 1


def test_count_that_lets_errors_through_and_lost_detect(detector, capsys):
    def count(request, context):
        least = request.confidence if request.HasField("confidence") else None
        return CountResponse(counts=Counter(each.label for each in detector(decode(request.picture), least)))

    with serving(Count=count) as address:
        assert not check("13.1", address).ok
    out = capsys.readouterr().out
    assert "as `answering` does" in out and "keeps its old methods" in out and out.count("NOT YET") == 3


def test_an_error_of_the_method_is_shown_with_its_line_and_without_a_traceback(capfd):
    def count(request, context):
        return CountResponse(counts=1 + "one")

    with serving(Detect=detect, Count=count) as address:
        assert not check("13.1", address).ok
    out, err = capfd.readouterr()
    assert "UNKNOWN: TypeError: unsupported operand" in out and ': return CountResponse(counts=1 + "one"))' in out
    assert "put that line right" in out and "Traceback" not in out + err


def test_an_error_that_is_hidden_gets_a_hint_how_to_see_it(capsys):
    def count(request, context):
        context.abort(grpc.StatusCode.INTERNAL, "The server made a mistake.")

    with serving(Detect=detect, Count=count) as address:
        assert not check("13.1", address).ok
    out = capsys.readouterr().out
    assert "actual:   INTERNAL" in out and "`answering` hides" in out


class Upload(BaseModel):
    picture: Base64Bytes
    confidence: float | None = None


def as_json(response):
    found = [
        {
            "label": each.label,
            "confidence": each.confidence,
            "box": {"x1": each.box.x1, "y1": each.box.y1, "x2": each.box.x2, "y2": each.box.y2},
        }
        for each in response.detections
    ]
    return {"model": response.model, "width": response.width, "height": response.height, "detections": found}


def caller(channel):
    return channel.unary_unary(f"/{SERVICE}/Detect", Request.SerializeToString, Response.FromString)


def solution(target, timeout=5, translate=as_json, statuses=STATUS, told=lambda status: status != 500):
    app, call = FastAPI(), caller(grpc.insecure_channel(target))

    @app.post("/v1/detections")
    def detections(upload: Upload):
        try:
            return translate(call(Request(picture=upload.picture, confidence=upload.confidence), timeout=timeout))
        except grpc.RpcError as error:
            status = statuses.get(error.code().name, 500)
            raise HTTPException(status, error.details() if told(status) else "our mistake") from error

    return app


def test_gateway_solution_passes(capsys):
    assert check("13.2", solution).ok
    assert "well done" in capsys.readouterr().out


def test_gateway_skeleton_is_told_to_add_the_route(capsys):
    assert not check("13.2", lambda target: FastAPI()).ok
    out = capsys.readouterr().out
    assert "@app.post('/v1/detections')" in out and out.count("NOT YET") == 1


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ({"timeout": None}, "gives it one"),
        ({"timeout": 1}, "timeout=5"),
        ({"translate": lambda found: MessageToDict(found)}, "MessageToDict leaves out"),
        ({"statuses": {}}, "code() gives the status"),
        ({"told": lambda status: True}, "except with a 500"),
    ],
)
def test_gateway_with_one_mistake(mistake, hint, capsys):
    assert not check("13.2", lambda target: solution(target, **mistake)).ok
    assert hint in capsys.readouterr().out


def test_gateway_with_a_channel_for_each_request_and_no_confidence(capsys):
    def gateway(target):
        app = FastAPI()

        @app.post("/v1/detections")
        async def detections(upload: Upload):
            try:
                with grpc.insecure_channel(target) as channel:
                    return as_json(caller(channel)(Request(picture=upload.picture), timeout=5))
            except grpc.RpcError as error:
                status = STATUS[error.code().name]
                raise HTTPException(status, error.details() if status != 500 else "") from error

        return app

    assert not check("13.2", gateway).ok
    out = capsys.readouterr().out
    assert "open the channel once" in out and "even 0" in out and "a plain `def` route" in out


def test_the_notebook_has_the_contract_of_the_checks(tmp_path):
    notebook = json.loads((ROOT / "notebooks" / "13_grpc.ipynb").read_text(encoding="utf-8"))
    texts = ["".join(each["source"]) for each in notebook["cells"]]
    (cell,) = [text for text in texts if text.startswith("%%writefile") and 'syntax = "proto3"' in text]
    (tmp_path / "notebook.proto").write_text(cell.partition("\n")[2], encoding="utf-8")
    assert protoc.main(["", f"-I{tmp_path}", f"--descriptor_set_out={tmp_path}/set", "notebook.proto"]) == 0
    (file,) = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "set").read_bytes()).file
    assert f"{file.package}.{file.service[0].name}" == SERVICE
    for message in file.message_type:
        ours = descriptor_pb2.DescriptorProto()
        messages()[message.name].DESCRIPTOR.CopyToProto(ours)
        assert message == ours
