import os

import pytest
from pydantic import ValidationError

from yololab.settings import ROOT, Settings, user_cache


def test_the_environment_is_read(monkeypatch):
    monkeypatch.setenv("YOLOLAB_PORT", "9000")
    monkeypatch.setenv("YOLOLAB_MODEL", "yolov3-tiny")
    monkeypatch.setenv("YOLOLAB_KEEP", "0")
    settings = Settings()
    assert (settings.port, settings.model, settings.keep) == (9000, "yolov3-tiny", False)
    assert Settings(port=1).port == 1


def test_relative_paths_start_at_the_repository(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YOLOLAB_UPLOADS", "kept")
    monkeypatch.setenv("YOLOLAB_MODELS", os.pathsep.join(["mine", str(tmp_path)]))
    settings = Settings()
    assert settings.uploads == ROOT / "kept"
    assert settings.model_folders == [ROOT / "mine", tmp_path, ROOT / "models", user_cache("models")]


def test_a_wrong_value_names_the_setting(monkeypatch):
    monkeypatch.setenv("YOLOLAB_PORT", "seven")
    with pytest.raises(ValidationError, match="port"):
        Settings()


def test_hosts_are_a_list():
    assert Settings(allowed_hosts=" Lab.example ,, b.example").hosts == {"lab.example", "b.example"}


def test_the_key_is_in_no_text(monkeypatch):
    monkeypatch.setenv("YOLOLAB_API_KEY", "mellon")
    assert "mellon" not in repr(Settings()) + str(Settings()) + Settings().model_dump_json()
    monkeypatch.setenv("YOLOLAB_PORT", "door")
    with pytest.raises(ValueError, match="port") as error:
        Settings()
    assert "mellon" not in str(error.value)


def test_an_unknown_extra_is_told():
    assert Settings(extras=" explore,batch ").extras == "batch,explore"
    with pytest.raises(ValueError, match="there is no cats"):
        Settings(extras="batch,cats")
