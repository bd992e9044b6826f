"""The API keeps what its OpenAPI document promises, for whatever may be sent by it, and for much that may not."""

import pytest
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import GenerationMode
from test_survival import SEEDS, survive

from yololab import create_app, serve
from yololab.api.settings import Settings

PICTURES = st.one_of(st.sampled_from(SEEDS), st.binary(max_size=60))
for kind in ("application/octet-stream", "image/*"):  # what the document says of a file
    schemathesis.openapi.media_type(kind, PICTURES)


@pytest.fixture(scope="module")
def document():
    """The document of a ready server with all its routes."""
    server = serve(create_app(Settings(keep=False, extras="batch,explore")), port=0)
    yield schemathesis.openapi.from_url(server.url + "/openapi.json")
    server.stop()


ROUTES = ["GET /", "GET /health", "GET /ready", "GET /v1/models", "GET /metrics", "POST /predict",
          "POST /v1/detections", "POST /v1/detections/batch", "POST /v1/explain"]  # fmt: skip


def test_the_routes_are_all_of_them(document):
    assert {f"{each.ok().method.upper()} {each.ok().path}" for each in document.get_all_operations()} == set(ROUTES)


CASES = [(route, GenerationMode.POSITIVE) for route in ROUTES]
CASES += [(route, GenerationMode.NEGATIVE) for route in ROUTES if route.startswith("POST")]  # GET takes nothing


@pytest.mark.parametrize(("route", "mode"), CASES)
def test_every_answer_is_as_the_document_says(document, route, mode):
    method, path = route.split(" ")
    operation = document[path][method]

    @survive
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case):
        answer = case.call(timeout=60)
        assert answer.status_code < 500
        checks = schemathesis.checks.CHECKS
        kept = [checks.get_one(name) for name in ("not_a_server_error", "status_code_conformance",
                "content_type_conformance", "response_schema_conformance", "response_headers_conformance")]  # fmt: skip
        case.validate_response(answer, checks=kept)

    ask()
