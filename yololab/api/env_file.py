"""The file .env: settings for those who would rather not set environment variables."""

import codecs
from collections.abc import Mapping
from io import StringIO

from dotenv import dotenv_values
from pydantic_settings import EnvSettingsSource

from ..errors import WrongSetting
from ..paths import base


class EnvFile(EnvSettingsSource):
    """The file .env of the repository, outside of it of the working folder; UTF-8 or UTF-16, with or without a mark."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in env_file().items()}


def env_file() -> dict[str, str | None]:
    """The variables of .env, none where it is missing. Raises WrongSetting where it cannot be read."""
    path = base() / ".env"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise WrongSetting(f"{path} cannot be read: {error.strerror}. Remove it or give it read permission.") from error
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return dotenv_values(stream=StringIO(data.decode("utf-16" if utf16 else "utf-8-sig")))
    except UnicodeDecodeError as error:
        raise WrongSetting(f"{path} is no text in UTF-8 or UTF-16. Save it anew in UTF-8.") from error
