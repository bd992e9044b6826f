"""A client generated from the OpenAPI document uploads a picture and reads the typed answer."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
from helpers import IMAGES

from yololab import create_app, serve
from yololab.api.settings import Settings

SCRIPT = """
import io, json, sys
from generated import Client
from generated.api.detect import detections_v1_detections_post as detect
from generated.models import Answer, DetectionsV1DetectionsPostFilesUpload as Upload
from generated.types import UNSET, File

client, data, found = Client(base_url=sys.argv[1]), open(sys.argv[2], "rb").read(), []
picture = lambda: File(payload=io.BytesIO(data), file_name="apple.jpg")
for body in (Upload(file=picture()), Upload(file=picture()), picture()):
    answer = detect.sync(client=client, body=body, confidence=0.99 if len(found) == 1 else UNSET)
    assert isinstance(answer, Answer), answer
    found.append([[each.label, each.confidence, each.box.x1] for each in answer.detections])
print(json.dumps(found))
"""


@pytest.mark.parametrize("route", ["/predict", "/v1/detections", "/v1/explain"])
def test_the_document_says_that_the_file_is_binary(route):
    document = create_app(Settings(extras="explore,batch")).openapi()
    content = document["paths"][route]["post"]["requestBody"]["content"]
    assert list(content) == ["multipart/form-data", "application/octet-stream", "image/*"]  # Swagger UI shows the first
    form = content["multipart/form-data"]["schema"]
    assert form["properties"]["file"] == {"type": "string", "format": "binary"} and form["required"] == ["file"]
    assert set(form["properties"]) == {"file"}  # a parameter in both places would be sent twice
    assert "contentMediaType" not in json.dumps(document)


@pytest.mark.skipif(not find_spec("openapi_python_client"), reason="needs openapi-python-client, see the extra [test]")
def test_a_generated_client_uploads_and_reads(tmp_path):
    server = serve(create_app(Settings(keep=False)), port=0)
    try:
        (tmp_path / "openapi.json").write_text(json.dumps(create_app().openapi()))
        generate = [sys.executable, "-m", "openapi_python_client", "generate", "--path", "openapi.json",
                    "--output-path", "generated", "--meta", "none"]  # fmt: skip
        subprocess.run(generate, cwd=tmp_path, check=True, capture_output=True, timeout=120)
        (tmp_path / "ask.py").write_text(SCRIPT)
        ask = [sys.executable, "ask.py", server.url, str(IMAGES / "apple.jpg")]
        done = subprocess.run(ask, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    finally:
        server.stop()
    assert not done.returncode, done.stderr
    form, sure, raw = json.loads(done.stdout)
    assert form == raw and form[0][0] == "apple" and sure == []
