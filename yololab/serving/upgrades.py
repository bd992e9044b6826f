"""Requests that offer another protocol than WebSocket, such as HTTP/2: the offer is ignored (RFC 9110, 7.8)."""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

OFFER = (b"upgrade", b"http2-settings")  # the header, and what goes with it (RFC 7540, 3.2)


class UpgradeIgnored(HttpToolsProtocol):
    """uvicorn's protocol, which would take the body of such a request for the next request.

    The parser stops behind a head with such an offer. It is made anew there, and reads the same head without it.
    """

    _head = b""  # of a request whose offer is ignored, without the offer

    def on_headers_complete(self) -> None:
        """uvicorn's, which begins the request."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT" and not self._should_upgrade():
            self._head = self._without_offer()
        else:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """uvicorn's, which ends the request."""
        if not self._head:
            super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """uvicorn's, which feeds the parser."""
        self._unset_keepalive_if_required()
        rest = memoryview(data)
        try:
            while (read := self._feed(rest)) is not None:
                rest = rest[read:]
        except httptools.HttpParserError:
            message = "Invalid HTTP request received."
            self.logger.warning(message)
            self.send_400_response(message)

    def _feed(self, data: memoryview) -> int | None:
        """Feed the parser; the bytes that it read before it stopped at an offer, or None where all is fed."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stopped:
            if not self._head:
                if self._should_upgrade():
                    self.handle_websocket_upgrade()
                return None
            head, self._head = self._head, b""
            self.parser = httptools.HttpRequestParser(self)
            self.parser.feed_data(head)
            return int(stopped.args[0])
        return None

    def _without_offer(self) -> bytes:
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                value = b", ".join(each for each in value.split(b",") if each.strip().lower() not in OFFER)
            if name not in OFFER and (value or name != b"connection"):
                lines.append(name + b": " + value)
        return b"\r\n".join((*lines, b"", b""))
