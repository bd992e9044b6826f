"""Every setting of the API in one place: YOLOLAB_* variables, then the file .env, then these defaults."""

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from ..errors import WrongSetting
from ..paths import base
from ..vision.engines import EngineName
from ..vision.models import default_folders
from .env_file import EnvFile, env_file
from .hosts import mapped
from .setting_types import PORT, Extras, Folder, Host, Hosts, Key, Networks, Origins, Port, Prefix, Url

PREFIX = "YOLOLAB_"
OF_KUBERNETES = re.compile(r"YOLOLAB_(SERVICE|PORT)_")  # what a pod gets for a Service that is called yololab
OLD_NAMES = {"YOLOLAB_MODELS": "YOLOLAB_MODEL_PATH"}


class Settings(BaseSettings):
    """Settings of one app or server; `Settings(port=0)` overrides, the environment and .env come next.

    Raises WrongSetting with one sentence for each wrong value: the variable, its value, what is allowed.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", hide_input_in_errors=True, populate_by_name=True, env_ignore_empty=True
    )

    host: Host = Field("127.0.0.1", description="address to listen on; 0.0.0.0 lets other machines in")
    port: Port = Field(PORT, description="port to listen on; 0 takes a free one")
    url: Url = Field("http://127.0.0.1:8000", description="where client.ipynb finds the server")
    root_path: Prefix = Field("", description="path prefix that a proxy in front strips, e.g. /user/ann/proxy/8000")
    allowed_hosts: Hosts = Field(
        "", description="hosts to answer to besides loopback, separated by commas: a name, name:port, a URL, *.name"
    )
    cors_origins: Origins = Field(
        "", description="origins whose pages may call the API, separated by commas, e.g. http://localhost:3000"
    )
    trusted_proxies: Networks = Field(
        "127.0.0.0/8,::1/128", description="addresses or networks of proxies whose X-Forwarded-* headers are believed"
    )
    api_key: Key = Field(SecretStr(""), description="where set, requests must bring it as X-API-Key")

    model: str = Field("starter", description="the default model")
    model_path: str = Field(
        "",
        validation_alias=AliasChoices("YOLOLAB_MODEL_PATH", "YOLOLAB_MODELS"),
        description=f"folders with more models, separated by {os.pathsep!r}; searched first",
    )
    engine: EngineName = Field("auto", description="what runs the networks; auto: the fastest here, as measured")
    exact: bool = Field(False, description="compute in float32, though a lower precision be faster")
    queue: int = Field(64, ge=0, description="requests that may wait for the model; more are answered 503")
    deadline: float = Field(30, gt=0, description="seconds that one may wait; after that it is answered 503")
    workers: int = Field(
        1, ge=1, description="processes that serve from the terminal; each takes its share of the cores"
    )
    decoded_mb: int = Field(
        512, gt=0, description="MiB for decoded pictures, of all workers together; requests wait for their share"
    )
    loaded_models: int = Field(4, ge=1, description="models kept in memory; the one not used for longest goes first")
    hang: float = Field(60, gt=0, description="seconds for one picture; a worker that takes longer is started anew")

    extras: Extras = Field((), description="optional routes, separated by commas")
    upload_timeout: float = Field(
        60, gt=0, description="seconds that a body may take to arrive, and one more for each 64 KiB; then 408"
    )
    max_upload: int = Field(20 * 2**20, gt=0, description="largest upload, bytes")
    max_pixels: int = Field(64 * 10**6, gt=0, description="largest picture, pixels")
    keep: bool = Field(True, description="keep a copy of what /predict answers")
    uploads: Folder = Field(Path("images_uploaded"), description="where those copies lie")
    uploads_quota: int = Field(200 * 2**20, ge=0, description="bytes that they may take; the oldest go first")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise WrongSetting(" ".join(_sentence(each) for each in error.errors(include_url=False))) from None

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:  # fmt: skip
        """What comes first wins."""
        return init_settings, env_settings, EnvFile(settings_cls)

    @field_validator("exact")
    @classmethod
    def _agrees(cls, exact: bool, info: ValidationInfo) -> bool:
        if exact and (engine := str(info.data.get("engine", ""))).endswith("bf16"):
            raise ValueError(f"it asks for float32, YOLOLAB_ENGINE={engine} for less; unset one of them")
        return exact

    @property
    def chosen_engine(self) -> str:
        """What `engines.make_engine` is to take: `engine`, without lower precisions where `exact` says so."""
        return "float32" if self.exact and self.engine == "auto" else self.engine

    @property
    def hosts(self) -> frozenset[str]:
        """The names in `allowed_hosts`, in lower case, without ports; `*.name` stands for all under it."""
        return frozenset(filter(None, self.allowed_hosts.split(",")))

    @property
    def cors(self) -> frozenset[str]:
        """The origins in `cors_origins`, as browsers send them."""
        return frozenset(filter(None, self.cors_origins.split(",")))

    @property
    def proxies(self) -> frozenset[str]:
        """The networks in `trusted_proxies`."""
        return frozenset(filter(None, self.trusted_proxies.split(",")))

    @property
    def forwarded_allow_ips(self) -> list[str]:
        """The same as uvicorn takes them: those of IPv4 also as a socket that listens on `::` names them."""
        return [*self.proxies, *(mapped(each) for each in self.proxies if ":" not in each)]

    @property
    def model_folders(self) -> list[Path]:
        """Where models are looked for, in order: `model_path`, the repository's models/, the cache, the package."""
        return [*self.listed_folders, *default_folders()]

    @property
    def listed_folders(self) -> list[Path]:
        """The folders of `model_path`."""
        return [base() / Path(part).expanduser() for part in self.model_path.split(os.pathsep) if part]

    @property
    def behind_hub(self) -> bool:
        """Whether this runs on JupyterHub or Binder, whose proxy signs people in before a request comes here."""
        return bool(os.environ.get("JUPYTERHUB_SERVICE_PREFIX"))

    def as_environment(self) -> dict[str, str]:
        """The variables that make another process's `Settings()` equal these."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        values |= {"api_key": self.api_key.get_secret_value(), "extras": ",".join(self.extras)}
        return {f"{PREFIX}{name.upper()}": str(value) for name, value in values.items()}


def unknown_variables() -> list[str]:
    """One sentence for each YOLOLAB_ variable, of the environment or .env, that is no setting."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | set(OLD_NAMES)
    given = {name.upper() for name in (*os.environ, *env_file()) if name.upper().startswith(PREFIX)}
    given = {name for name in given if not OF_KUBERNETES.match(name)}
    sentences = []
    for name in sorted(given - known):
        close = get_close_matches(name, known, 1)
        sentences.append(f"{name} is no setting and has no effect." + (f" Is {close[0]} meant?" if close else ""))
    return sentences


def _sentence(error: Any) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        close = get_close_matches(name, Settings.model_fields, 1)
        return f"There is no setting {name!r}." + (f" Is {close[0]!r} meant?" if close else "")
    field = name.removeprefix(PREFIX).lower()
    field = "model_path" if field == "models" else field
    value = "" if field == "api_key" else f"={error['input']!r}"
    why = error["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    about = Settings.model_fields[field].description if field in Settings.model_fields else ""
    return f"{PREFIX}{field.upper()}{value} is not possible: {why} ({about})."
