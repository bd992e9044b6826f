"""What can go wrong on the way of a picture, and where.

    upload bytes --images.decode--> BGR array --Detector--> list[Detection] --annotate--> picture
         |               |              |                          \\--as_json--> JSON
      Refused         BadImage     UnknownModel
      401 403 406     TooLarge     NotInstalled
      Late 408        Unsupported  BrokenModel
                                   Busy, NotReady

Each class is one arrow that leaves the way; `status` is the HTTP status that the API answers with, and
the message is a sentence that says what was wrong and how to fix it.
"""


class LabError(Exception):
    """Any error that this project raises on purpose; str(error) is meant for the person who caused it."""

    status = 500

    @property
    def headers(self) -> dict[str, str]:
        """Further headers of the HTTP response (RFC 9110, 10.2.3 and 11.6.1): when to try again, which key to send."""
        if self.status == 408:
            return {"Connection": "close"}  # the rest of the body may still come; nobody reads it (RFC 9110, 15.5.9)
        if self.status == 401:
            return {"WWW-Authenticate": 'ApiKey header="X-API-Key"'}
        retry_after = getattr(self, "retry_after", None)
        return {"Retry-After": str(retry_after)} if retry_after else {}


class Refused(LabError):
    """The request is not let in (`status` 400, 401, 403, 406, 415 or 422): host, origin, key, Accept, form or query."""

    def __init__(self, message: str, status: int = 403) -> None:
        super().__init__(message)
        self.status = status


class Late(LabError):
    """The body of a request did not arrive in time."""

    status = 408


class BadImage(LabError):
    """The bytes are empty, or of a known picture format and do not decode."""

    status = 400


class TooLarge(LabError):
    """More bytes or more pixels than the limits allow."""

    status = 413


class Unsupported(LabError):
    """The first bytes are not those of a picture format that is served."""

    status = 415


class UnknownModel(LabError):
    """No model has this name."""

    status = 404


class NotInstalled(UnknownModel):
    """The registry knows the model, but its files are not on this machine."""


class BrokenModel(LabError):
    """The files of a model are there and cannot be used."""

    status = 503


class Busy(LabError):
    """The queue in front of the model is full; `retry_after` is in whole seconds."""

    status = 503

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotReady(LabError):
    """The default model is still loading, the server is stopping, or its disk is full."""

    status = 503
    retry_after = 1


class WrongSetting(LabError, ValueError):
    """A setting has a value that is not possible; one sentence names the variable, the value and what is allowed."""


class DownloadFailed(LabError):
    """No mirror gave the right file; nothing was kept."""


class PortTaken(LabError):
    """Another server listens on the port."""


class ServerFailed(LabError):
    """The app's own start-up failed, so that no server runs."""
