"""How a page brings its key to a WebSocket, where a browser sends no headers of the page's own.

In the list of subprotocols (RFC 6455, 4.1), next to the one that is really spoken:

    new WebSocket(url, ["yololab.live", "yololab.key." + base64url(key)])

The key is then checked before the connection is opened, as with a header. In the query it would end up in access logs
and in the history; in a first message it would come when the server had already let a stranger in. The server answers
with the first subprotocol alone, so the key is not sent back.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable

SUBPROTOCOL = "yololab.live"
PREFIX = "yololab.key."


def as_subprotocol(key: str) -> str:
    """The key in base64url without padding (RFC 4648, 5): a subprotocol may hold letters, digits and a few signs."""
    return PREFIX + urlsafe_b64encode(key.encode()).decode().rstrip("=")


def key_in(subprotocols: Iterable[str]) -> str | None:
    """The key that a client has offered as a subprotocol; None where there is none, or where it is no base64url."""
    for each in subprotocols:
        if each.startswith(PREFIX):
            text = each.removeprefix(PREFIX)
            try:
                return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            except (binascii.Error, ValueError):
                return None
    return None
