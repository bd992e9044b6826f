"""A load client that costs little: prepared requests over kept connections, one thread each."""

import os
import socket
import threading
from dataclasses import dataclass, field
from time import perf_counter, process_time

BOUNDARY = "lab-benchmark"


def prepare(port: int, path: str, photo: bytes, form: bool) -> bytes:
    """A whole POST request: the photo in the field "file" of a form, or as the body itself."""
    body, kind = photo, "application/octet-stream"
    if form:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n'
        head += "Content-Type: image/jpeg\r\n\r\n"
        body = head.encode() + photo + f"\r\n--{BOUNDARY}--\r\n".encode()
        kind = f"multipart/form-data; boundary={BOUNDARY}"
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Connection:
    """One kept connection to 127.0.0.1."""

    def __init__(self, port: int):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a prepared request; the answer's status and body. Raises OSError where the connection breaks."""
        self._socket.sendall(request)
        got = bytearray()
        while (end := got.find(b"\r\n\r\n")) < 0:
            got += self._receive()
        head = bytes(got[:end]).decode("latin-1").lower()
        status = int(head.split(" ", 2)[1])
        if "transfer-encoding: chunked" in head:
            while not got.endswith(b"0\r\n\r\n"):
                got += self._receive()
            return status, _unchunked(bytes(got[end + 4 :]))
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        while len(got) < end + 4 + length:
            got += self._receive()
        return status, bytes(got[end + 4 :])

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _receive(self) -> bytes:
        part = self._socket.recv(1 << 18)
        if not part:
            raise ConnectionError("the server closed the connection")
        return part


def _unchunked(data: bytes) -> bytes:
    whole = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        whole, data = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return whole


@dataclass
class Load:
    """What some clients saw in some seconds.

    seconds: of each answered request. cpu, server_cpu: seconds of CPU that the clients took, and the server.
    """

    clients: int
    elapsed: float = 0.0
    cpu: float = 0.0
    server_cpu: float = 0.0
    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    errors: int = 0

    @property
    def rate(self) -> float:
        """Answered requests a second."""
        return len(self.seconds) / self.elapsed

    @property
    def cost(self) -> float:
        """Milliseconds of the server's CPU for each answered request."""
        return self.server_cpu * 1e3 / max(1, len(self.seconds))

    @property
    def cpu_share(self) -> float:
        """The part of the machine's cores that the clients themselves took."""
        return self.cpu / self.elapsed / len(os.sched_getaffinity(0))


def load(port: int, requests: list[bytes], answers: list[bytes], clients: int, seconds: float) -> Load:
    """`clients` at once ask for `seconds`, each one request after the other; answers other than expected are wrong."""
    result = Load(clients)
    lock, ready = threading.Lock(), threading.Barrier(clients + 1)

    def ask(first: int) -> None:
        taken, wrong, errors, number = [], 0, 0, first
        connection = Connection(port)
        ready.wait()
        while perf_counter() < until[0]:
            number = (number + 1) % len(requests)
            began = perf_counter()
            try:
                status, body = connection.ask(requests[number])
            except OSError:
                errors += 1
                connection.close()
                connection = Connection(port)
                continue
            if status != 200:
                errors += 1
                continue
            taken.append(perf_counter() - began)
            wrong += body != answers[number]
        connection.close()
        with lock:
            result.seconds += taken
            result.wrong += wrong
            result.errors += errors

    until = [0.0]
    threads = [threading.Thread(target=ask, args=(number * 3,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    began, cpu = perf_counter(), process_time()
    until[0] = began + seconds
    ready.wait()
    for thread in threads:
        thread.join()
    result.elapsed, result.cpu = perf_counter() - began, process_time() - cpu
    return result
