"""The exercises of lesson 13: one more method of a gRPC service, and an HTTP gateway in front of one."""

import logging
import random
import tempfile
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

from .answer import BROKE, Answer
from .pictures import labels, sample
from .probe import SECONDS, at_once, made
from .report import Report, Such, between
from .watched import crash

CONTRACT = """syntax = "proto3"; package yololab.v1;
message DetectRequest { bytes picture = 1; optional float confidence = 2; }
message Box { float x1 = 1; float y1 = 2; float x2 = 3; float y2 = 4; }
message Detection { string label = 1; float confidence = 2; Box box = 3; }
message DetectResponse { string model = 1; uint32 width = 2; uint32 height = 3; repeated Detection detections = 4; }
message CountResponse { map<string, uint32> counts = 1; }"""
CODES = (
    "UNAVAILABLE: nobody listens; UNIMPLEMENTED: no Count in contract or class; INTERNAL: Count raised an error, which "
    "`answering` hides: take that line away until you have seen it"
)
GENERATED = "NotImplementedError: Method not implemented!"  # what the generated base class raises
ABSENT = "UNIMPLEMENTED: the contract has Count, the class has not"
NO_METHOD = "there is no method Count in the class: write it there, named as in the contract, with a capital C"
COUNT = (
    "count each label: collections.Counter(...); and use the confidence only where request.HasField('confidence'): "
    "otherwise it reads as 0"
)
SERVICE, DEADLINE = "yololab.v1.DetectionService", 5  # seconds that the gateway gives the service
STATUS = {"INVALID_ARGUMENT": 400, "NOT_FOUND": 404, "RESOURCE_EXHAUSTED": 429, "INTERNAL": 500, "UNKNOWN": 500}
STATUS |= {"UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504}


@cache
def messages() -> dict[str, type]:
    """The contract's message classes by name, in a pool of their own: the notebook registers the same names."""
    try:
        import grpc  # noqa: F401
        from google.protobuf import descriptor_pb2, message_factory
        from grpc_tools import protoc
    except ImportError as error:
        raise ImportError(f"{error}. This exercise needs gRPC: pip install -r requirements.txt") from error
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "contract.proto").write_text(CONTRACT, encoding="utf-8")
        assert protoc.main(["", f"-I{folder}", f"--descriptor_set_out={folder}/set", "contract.proto"]) == 0
        files = descriptor_pb2.FileDescriptorSet.FromString(Path(folder, "set").read_bytes()).file
    return {name.split(".")[-1]: each for name, each in message_factory.GetMessages(files).items()}


@contextmanager
def raised() -> Iterator[list[str]]:
    """What methods raise meanwhile, from the log of a gRPC server in this process, which then prints no traceback."""
    said: list[str] = []
    log = logging.getLogger("grpc._server")

    def keep(record: logging.LogRecord) -> bool:
        said.append(crash(record.exc_info[1]) if record.exc_info and record.exc_info[1] else record.getMessage())
        return False

    log.addFilter(keep)
    try:
        yield said
    finally:
        log.removeFilter(keep)


def count(report: Report, address: str) -> None:
    """Count(DetectRequest) returns (CountResponse), beside a Detect that still answers."""
    data = sample(name := random.choice(["apples", "crowd", "fruit", "oranges"]))
    with raised() as errors:

        def ask(method: str = "Count", answer: str = "CountResponse", **fields: Any) -> tuple[Any, str]:
            """The response or None; the name of the status, and what the method raised."""
            response, code = call(address, method, messages()["DetectRequest"](**fields), messages()[answer])
            return response, f"{code}: {errors.pop()}" if errors else code

        _, code = ask(picture=data)
        code = ABSENT if GENERATED in code else code
        hint = NO_METHOD if code == ABSENT else BROKE if ": " in code else CODES
        report.require(f"Count answers for {name}.jpg", "OK", code, hint)
        for least in (None, random.uniform(0.3, 0.9)):
            counts = dict(Counter(labels(data, least)))
            response, code = ask(picture=data, confidence=least)
            actual = dict(response.counts) if response else code
            report.expect(f"the counts at confidence {least}", counts, actual, COUNT)
        response, code = ask(picture=data, confidence=0)
        hint = 'a confidence of 0 was sent, and counts: ask request.HasField("confidence"), not whether it is true'
        total = sum(response.counts.values()) if response else code
        report.expect("confidence 0 counts many more", Such("more than 50", lambda total: total > 50), total, hint)
        hint = "let the error become a status, as `answering` does for Detect"
        for what, bad in (("text", {"picture": b"a text"}), ("confidence of 7", {"picture": data, "confidence": 7})):
            _, code = ask(**bad)
            report.expect(f"a {what} is refused", "INVALID_ARGUMENT", code, hint)
        _, code = ask("Detect", "DetectResponse", picture=data)
        report.expect("Detect still answers", "OK", code, "a service that grows keeps its old methods")


def call(address: str, method: str, request: Any, Response: type) -> tuple[Any, str]:
    """One call on a connection of its own: the response or None, and the name of the status."""
    import grpc

    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        method_of = channel.unary_unary(f"/{SERVICE}/{method}", type(request).SerializeToString, Response.FromString)
        try:
            return method_of(request, timeout=SECONDS), "OK"
        except grpc.RpcError as error:
            return None, error.code().name


@contextmanager
def backend():
    """A service that answers at random, or as the picture's bytes say.

    Yields its address and a list that gets (peer, seconds left, request, answer) of each call.
    """
    codecs = messages()["DetectRequest"].FromString, messages()["DetectResponse"].SerializeToString
    calls, both = [], Barrier(2)
    import grpc

    def detect(request: Any, context: Any) -> Any:
        code, _, text = request.picture.decode().partition(":")
        box = {"x1": 0, "y1": random.randrange(9) / 8, "x2": random.randrange(9, 99) / 8, "y2": 99.5}
        found = [{"label": f"thing {random.random()}", "confidence": random.randrange(1, 64) / 64, "box": box}]
        found *= code != "nothing"
        answer = {"model": "starter", "width": random.randrange(999), "height": 9, "detections": found}
        calls.append((context.peer(), context.time_remaining(), request, answer))
        if code in STATUS:
            context.abort(grpc.StatusCode[code], text)
        if code == "both":
            try:
                both.wait(DEADLINE / 2)
            except BrokenBarrierError:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the other one did not come meanwhile")
        return messages()["DetectResponse"](**answer)

    methods = {"Detect": grpc.unary_unary_rpc_method_handler(detect, *codecs)}
    server = grpc.server(ThreadPoolExecutor(8), [grpc.method_handlers_generic_handler(SERVICE, methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", calls
    finally:
        server.stop(DEADLINE).wait()


def gateway(report: Report, make: Any) -> None:
    """make(target): an app whose POST /v1/detections asks the gRPC service at the target."""
    route = "a route @app.post('/v1/detections') that calls Detect at the target, once, and returns a dict"
    with backend() as (address, calls), made(report, make, address) as api:

        def post(text: str, **more: Any) -> Answer:
            body = {"picture": b64encode(text.encode()).decode(), **more}
            return api.post("/v1/detections", json=body, missing=route)

        post("thing").require(200)
        report.require("how often it called the service for that", 1, len(calls), route)
        for text, more in (("thing", {}), ("nothing", {"confidence": 0.25}), ("thing", {"confidence": 0.0})):
            answer, (*_, request, expected) = post(text, **more), calls[-1]
            hint = "take every field by its name: json_format.MessageToDict leaves out those that are 0 or empty"
            answer.expect(200, f"the service's answer as JSON, for {text}", hint, json=expected)
            actual = {field.name: value for field, value in request.ListFields() if field.name != "picture"}
            hint = "pass the confidence on where the JSON has one, even 0; leave the field unset where it has none"
            report.expect(f"what arrives beside the picture for {more}", more, actual, hint)
        bad = api.post("/v1/detections", json={"picture": "A"}, hint="Pydantic's Base64Bytes checks and decodes it")
        bad.expect(422, "what is not base64 is refused")
        for code, status in STATUS.items():
            answer = post(f"{code}:{(text := str(random.random()))}")
            hint = "catch grpc.RpcError: code() gives the status, details() the `detail`, except with a 500"
            answer.expect(status, f"{code}: the status", hint)
            report.expect(f"{code}: whether its details are told", status != 500, text in answer.text, hint)
        hint = f"stub.Detect(request, timeout={DEADLINE}) gives it one"
        report.expect("the calls have a deadline, in seconds", between(DEADLINE - 2, DEADLINE + 1), calls[-1][1], hint)
        hint = "open the channel once, not in the route"
        report.expect("all calls come by one connection", 1, len({peer for peer, *_ in calls}), hint)
        hint = "a call that waits must not hold up the others: a plain `def` route runs in a thread of its own"
        for answer in at_once(post, ["both", "both"]):
            answer.expect(200, "one of two requests at once", hint)


EXERCISES = {"1": count, "2": gateway}
