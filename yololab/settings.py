"""Every setting of the lab in one place: from YOLOLAB_* variables, then the file .env, then these defaults."""

import os
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parents[1]
"""The repository. Relative paths in settings start here, whatever the working folder is."""
EXTRAS = ("batch", "explore")  # modules with a `router(settings)`


class Settings(BaseSettings):
    """Settings of one app or server; `Settings(port=0)` overrides, the environment and .env come next."""

    model_config = SettingsConfigDict(
        env_prefix="YOLOLAB_", env_file=ROOT / ".env", extra="ignore", hide_input_in_errors=True
    )

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 lets other machines in")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    url: str = Field("http://127.0.0.1:8000", description="where client.ipynb finds the server")
    root_path: str = Field("", description="path prefix that a proxy in front strips, e.g. /user/ann/proxy/8000")
    allowed_hosts: str = Field("", description="Host names to answer to besides loopback, separated by commas")
    api_key: SecretStr = Field(SecretStr(""), description="where set, requests must bring it as X-API-Key")

    model: str = Field("starter", description="the default model")
    models: str = Field("", description=f"folders with more models, separated by {os.pathsep!r}; searched first")
    engine: str = Field(
        "auto", description="onnxruntime, opencv, cuda, openvino, openvino-bf16; auto: the first installed"
    )
    queue: int = Field(64, ge=0, description="requests that may wait for the model; more are answered 503")
    deadline: float = Field(30, gt=0, description="seconds that one may wait; after that it is answered 503")
    workers: int = Field(
        1, ge=1, description="processes that serve from the terminal; each takes its share of the cores"
    )
    hang: float = Field(60, gt=0, description="seconds for one picture; a worker that takes longer is started anew")

    extras: str = Field("", description="optional routes, separated by commas: batch, explore")
    max_upload: int = Field(20 * 2**20, gt=0, description="largest upload, bytes")
    max_pixels: int = Field(64 * 10**6, gt=0, description="largest picture, pixels")
    keep: bool = Field(True, description="keep a copy of what /predict answers")
    uploads: Path = Field(Path("images_uploaded"), description="where those copies lie")
    uploads_quota: int = Field(200 * 2**20, ge=0, description="bytes that they may take; the oldest go first")

    @field_validator("extras")
    @classmethod
    def _known(cls, extras: str) -> str:
        names = {name.strip() for name in extras.split(",") if name.strip()}
        if unknown := names - set(EXTRAS):
            raise ValueError(f"there is no {', '.join(sorted(unknown))}, only {' and '.join(EXTRAS)}")
        return ",".join(sorted(names))

    @field_validator("uploads")
    @classmethod
    def _from_root(cls, path: Path) -> Path:
        return ROOT / path.expanduser()

    @property
    def hosts(self) -> frozenset[str]:
        """The names in `allowed_hosts`, in lower case."""
        return frozenset(name.strip().lower() for name in self.allowed_hosts.split(",") if name.strip())

    def as_environment(self) -> dict[str, str]:
        """The variables that make another process's `Settings()` equal these."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        values["api_key"] = self.api_key.get_secret_value()
        return {f"YOLOLAB_{name.upper()}": str(value) for name, value in values.items()}

    @property
    def model_folders(self) -> list[Path]:
        """Where models are looked for, in order: `models`, the repository's models/, the user's cache."""
        listed = [ROOT / Path(part).expanduser() for part in self.models.split(os.pathsep) if part]
        return [*listed, ROOT / "models", user_cache("models")]


def user_cache(folder: str) -> Path:
    """A folder of the user's cache: "models" is where fetched ones lie, "onnx" where converted ones do."""
    from platformdirs import user_cache_path

    return user_cache_path("yololab") / folder
