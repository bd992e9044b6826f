"""Settings: where they come from, and what is said of wrong ones."""

import os

import pytest
from helpers import ROOT, SHARED

from yololab.api.settings import Settings, unknown_variables
from yololab.errors import WrongSetting
from yololab.paths import user_cache
from yololab.vision.models import PACKAGE


def test_the_environment_is_read(monkeypatch):
    monkeypatch.setenv("YOLOLAB_PORT", "9000")
    monkeypatch.setenv("YOLOLAB_MODEL", "yolov3-tiny")
    monkeypatch.setenv("YOLOLAB_KEEP", "0")
    settings = Settings()
    assert (settings.port, settings.model, settings.keep) == (9000, "yolov3-tiny", False)
    assert Settings(port=1).port == 1


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("variable", ["YOLOLAB_MODEL_PATH", "YOLOLAB_MODELS"])
def test_where_relative_paths_start(monkeypatch, tmp_path, inside, variable):
    """Inside the repository at its root, whichever folder one is in; elsewhere at the working folder."""
    monkeypatch.chdir(ROOT / "notebooks" if inside else tmp_path)
    start = ROOT if inside else tmp_path
    monkeypatch.setenv("YOLOLAB_UPLOADS", "kept")
    monkeypatch.setenv(variable, os.pathsep.join(["mine", str(tmp_path)]))
    settings = Settings()
    assert settings.uploads == start / "kept"
    folders = [start / "mine", tmp_path, *([ROOT / "models"] if inside else []), user_cache("models"), PACKAGE]
    assert settings.model_folders == folders


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("port", "seven", "YOLOLAB_PORT='seven' .*integer"),
        ("port", "70000", "YOLOLAB_PORT='70000' .*65535"),
        ("engine", "abacus", "YOLOLAB_ENGINE='abacus' .*'auto'.*'opencv'"),
        ("extras", "batch,cats", "YOLOLAB_EXTRAS='batch,cats' .*no cats, only batch, explore, live"),
        ("keep", "perhaps", "YOLOLAB_KEEP='perhaps' .*boolean"),
        ("deadline", "0", "YOLOLAB_DEADLINE='0' .*greater than 0"),
        ("workers", "0", "YOLOLAB_WORKERS='0' .*greater than or equal to 1"),
        ("root_path", "api", "YOLOLAB_ROOT_PATH='api' .*one like /api"),
        ("root_path", "http://x/api", "YOLOLAB_ROOT_PATH='http://x/api' .*one like /api"),
        ("root_path", "/a b", "YOLOLAB_ROOT_PATH='/a b' .*one like /api"),
        ("exact", "very", "YOLOLAB_EXACT='very' .*boolean"),
    ],
)
def test_a_wrong_value_is_one_sentence(monkeypatch, name, value, says):
    monkeypatch.setenv(f"YOLOLAB_{name.upper()}", value)
    with pytest.raises(WrongSetting, match=says) as caught:
        Settings()
    assert "\n" not in str(caught.value) and isinstance(caught.value, ValueError)


@pytest.mark.parametrize(("name", "value", "is_read_as"), [
    ("root_path", "/api/", "/api"), ("root_path", "/", ""), ("host", " [::1] ", "::1"),
    ("url", "http://127.0.0.1:8200/", "http://127.0.0.1:8200"), ("url", "127.0.0.1:8200", "http://127.0.0.1:8200"),
    ("port", "tcp://10.43.7.62:8000", 8000),
])  # fmt: skip
def test_what_people_and_kubernetes_write_is_understood(monkeypatch, name, value, is_read_as):
    monkeypatch.setenv(f"YOLOLAB_{name.upper()}", value)
    assert getattr(Settings(), name) == is_read_as


def test_exact_keeps_float32_and_contradicts_an_engine_that_does_not(monkeypatch):
    assert Settings().chosen_engine == "auto"
    monkeypatch.setenv("YOLOLAB_EXACT", "1")
    assert Settings().chosen_engine == "float32" and Settings(engine="opencv").chosen_engine == "opencv"
    with pytest.raises(WrongSetting, match=r"YOLOLAB_EXACT='1' .*YOLOLAB_ENGINE=openvino-bf16 for less; unset one"):
        Settings(engine="openvino-bf16")


def test_a_setting_that_does_not_exist_is_an_error():
    with pytest.raises(WrongSetting, match="no setting 'extra'"):
        Settings(extra="batch")


def test_an_unknown_variable_is_named(monkeypatch):
    assert unknown_variables() == []
    monkeypatch.setenv("YOLOLAB_APIKEY", "abc")
    monkeypatch.setenv("YOLOLAB_MODELS", "old name, still known")
    assert unknown_variables() == ["YOLOLAB_APIKEY is no setting and has no effect. Is YOLOLAB_API_KEY meant?"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_env_files_in_every_encoding(monkeypatch, tmp_path, encoding):
    (tmp_path / ".env").write_text("YOLOLAB_PORT=9100\r\nYOLOLAB_MODEL='ä'\r\nOTHER=1\r\nYOLOLAB_PROT=1", encoding)
    monkeypatch.chdir(tmp_path)
    assert Settings().port == 9100 and Settings().model == "ä"
    assert unknown_variables() == ["YOLOLAB_PROT is no setting and has no effect. Is YOLOLAB_PORT meant?"]
    monkeypatch.setenv("YOLOLAB_PORT", "9200")
    assert Settings().port == 9200


def test_an_env_file_that_is_no_text(monkeypatch, tmp_path):
    (tmp_path / ".env").write_bytes(b"\xff\x00\x81")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WrongSetting, match=r"\.env is no text"):
        Settings()


def test_the_env_file_of_windows_powershell(monkeypatch, tmp_path):
    case = SHARED / "cases" / "dotenv_utf16.env"
    if not case.is_file():
        pytest.skip("needs ../shared/cases")
    (tmp_path / ".env").write_bytes(case.read_bytes())
    monkeypatch.chdir(tmp_path)
    Settings()


def test_another_process_gets_the_same(monkeypatch, tmp_path):
    settings = Settings(port=1, extras="explore,batch", api_key="k", uploads=tmp_path, model_path="a", engine="opencv")
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_hosts_are_a_list():
    assert Settings(allowed_hosts=" Lab.example ,, b.example").hosts == {"lab.example", "b.example"}


def test_the_key_is_in_no_text(monkeypatch):
    monkeypatch.setenv("YOLOLAB_API_KEY", "mellon")
    assert "mellon" not in repr(Settings()) + str(Settings()) + Settings().model_dump_json()
    monkeypatch.setenv("YOLOLAB_PORT", "door")
    with pytest.raises(WrongSetting, match="PORT") as error:
        Settings()
    assert "mellon" not in str(error.value)


def test_extras_are_sorted():
    assert Settings(extras=" explore,batch ").extras == ("batch", "explore")
