"""What can go wrong on the way, and where.

    upload bytes --images.decode--> BGR array --detector--> list[Detection] --> annotate --> picture
         |               |              |                            \\--> JSON
      Refused         BadImage     UnknownModel
      401 403 406     TooLarge     NotInstalled
                      Unsupported  BrokenModel
                                   Busy, NotReady

Each class is one arrow that leaves the way; `status` is the HTTP status that the API answers with, and
the message is a sentence that says what was wrong and what to do.
"""


class LabError(Exception):
    """Any error that this project raises on purpose; str(error) is meant for the person who caused it."""

    status = 500

    @property
    def headers(self) -> dict[str, str]:
        """What the HTTP answer carries besides (RFC 9110, 10.2.3 and 11.6.1): when to come again, what to bring."""
        if self.status == 401:
            return {"WWW-Authenticate": 'ApiKey header="X-API-Key"'}
        return {"Retry-After": str(getattr(self, "retry_after", 1))} if self.status == 503 else {}


class Refused(LabError):
    """The request may not enter (`status` 400, 401, 403, 406 or 415): host, origin, key, form or Accept."""

    def __init__(self, message: str, status: int = 403):
        super().__init__(message)
        self.status = status


class BadImage(LabError):
    """The bytes are empty, or of a known picture format and do not decode."""

    status = 400


class TooLarge(LabError):
    """More bytes or more pixels than the limits allow."""

    status = 413


class Unsupported(LabError):
    """The first bytes are not those of a JPEG, PNG or WebP file."""

    status = 415


class UnknownModel(LabError):
    """No model has this name."""

    status = 404


class NotInstalled(UnknownModel):
    """The registry knows the model, but its files are not on this machine."""


class BrokenModel(LabError):
    """The files of a model lie there and cannot be used."""

    status = 503


class Busy(LabError):
    """The queue in front of the model is full; `retry_after` is in whole seconds."""

    status = 503

    def __init__(self, message: str, retry_after: int = 1):
        super().__init__(message)
        self.retry_after = retry_after


class NotReady(LabError):
    """The default model is still loading, could not be loaded, the server is stopping, or its disk is full."""

    status = 503


class DownloadFailed(LabError):
    """No mirror gave the right file; nothing was kept."""


class PortTaken(LabError):
    """Another server listens on the port."""
