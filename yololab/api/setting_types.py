"""Types of settings: what a value may be, and how it is written once it is read. Each raises ValueError."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from ..paths import base
from .hosts import normalized_host, normalized_network, normalized_origin, normalized_prefix

EXTRAS = ("batch", "explore", "live")  # modules of `routes` with a `router(settings)`
PORT = 8000


def not_of_kubernetes(port: object) -> object:
    """Kubernetes gives each pod YOLOLAB_PORT=tcp://... for a Service that is called yololab: it is not meant for us."""
    return PORT if str(port).startswith("tcp://") else port


def bare(host: str) -> str:
    """An address without the brackets that URLs put around IPv6."""
    return host.strip().removeprefix("[").removesuffix("]")


def whole(url: str) -> str:
    """A URL with its scheme and without a slash at its end."""
    url = url.strip().rstrip("/")
    return url if "://" in url else f"http://{url}"


def each(normalized: Callable[[str], str]) -> AfterValidator:
    """The members of a list that is separated by commas, each normalized."""
    return AfterValidator(lambda text: ",".join(normalized(part) for part in text.split(",") if part.strip()))


def sendable(key: SecretStr) -> SecretStr:
    """A key that a header can carry."""
    text = key.get_secret_value().strip()  # a file's last line break is no part of it
    if not text.isascii() or not text.isprintable():
        raise ValueError("it should have ASCII characters only, since headers carry no others")
    return SecretStr(text)


def known(extras: Any) -> tuple[str, ...]:
    """The names of optional routes, from a text or a tuple."""
    names = extras.split(",") if isinstance(extras, str) else list(extras) if isinstance(extras, tuple) else [""]
    chosen = {name.strip() for name in names if name.strip()}
    if unknown := chosen - set(EXTRAS):
        raise ValueError(f"there is no {', '.join(sorted(unknown))}, only {', '.join(EXTRAS)}")
    return tuple(sorted(chosen))


Port = Annotated[int, Field(ge=0, le=65535), BeforeValidator(not_of_kubernetes)]
Host = Annotated[str, AfterValidator(bare)]
Url = Annotated[str, AfterValidator(whole)]
Prefix = Annotated[str, AfterValidator(normalized_prefix)]
Hosts = Annotated[str, each(normalized_host)]
Origins = Annotated[str, each(normalized_origin)]
Networks = Annotated[str, each(normalized_network)]
Key = Annotated[SecretStr, AfterValidator(sendable)]
Extras = Annotated[tuple[str, ...], NoDecode, BeforeValidator(known)]
Folder = Annotated[Path, AfterValidator(lambda path: base() / path.expanduser())]  # relative: below the repository
