"""The socket that a server listens on, made before the server so that a taken port is an error at once."""

import errno
import socket
import sys

from ..errors import PortTaken, WrongSetting


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on `host` and `port`; 0 takes a free port. Raises PortTaken, which names the holder.

    Raises WrongSetting where this machine has no such address.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    # Windows: SO_REUSEADDR would let two servers share one port
    option = (
        getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR) if sys.platform == "win32" else socket.SO_REUSEADDR
    )
    # asyncio does not for sockets of our own: each answer on a kept connection would wait 40 ms for the client's ACK
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise WrongSetting(
                f"YOLOLAB_HOST={host!r} is not possible: this machine cannot listen there, {error.strerror or error}. "
                "Use 127.0.0.1 for this machine alone, 0.0.0.0 for the network, or an address of this machine."
            ) from None
        raise PortTaken(
            f"Port {port} is taken{_holder(port)}. Stop that server, or choose another port: port 0 takes a free one."
        ) from None
    return listener


def _holder(port: int) -> str:
    """Who listens on a port, as far as this user may know."""
    try:
        import psutil

        for each in psutil.net_connections("tcp"):
            if each.laddr and each.laddr.port == port and each.status == psutil.CONN_LISTEN and each.pid:
                return f" by process {each.pid}: {' '.join(psutil.Process(each.pid).cmdline())[:100]}"
    except Exception:  # not installed, not allowed, or gone meanwhile: then nobody knows
        pass
    return " by another program"
