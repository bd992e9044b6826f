"""Host names and origins: how a setting names them, and whether a header is one of them."""

import re
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
NAME = re.compile(rf"(\*\.)?{LABEL}(\.{LABEL})*")
PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~@%+-]+)+")


def host_of(url: str) -> str:
    """The host of a URL or of a Host header behind "//": in lower case, without port; '' where there is none."""
    try:
        return (urlsplit(url).hostname or "").removesuffix(".")
    except ValueError:
        return ""


def is_ip(host: str) -> bool:
    """Whether it is a literal IPv4 or IPv6 address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_one_of(host: str, names: Iterable[str]) -> bool:
    """Whether a host is one of these normalized names; `*.name` stands for every name that ends in `.name`."""
    return any(host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in names)


def normalized_host(entry: str) -> str:
    """A name, name:port, URL or `*.name` as the name alone, as browsers send it. Raises ValueError."""
    text = entry.strip()
    host = text.strip("[]") if is_ip(text.strip("[]")) else host_of(text if "//" in text else f"//{text}")
    try:
        host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        host = ""
    if not (is_ip(host) or NAME.fullmatch(host)) or "@" in text:
        raise ValueError(f"{entry!r} is no host: write a name, name:port, a URL, or *.name for all names under it")
    return host


def normalized_origin(entry: str) -> str:
    """scheme://host[:port] as browsers send it in Origin. Raises ValueError."""
    wrong = f"{entry!r} is no origin: write scheme://host or scheme://host:port, e.g. http://localhost:3000"
    try:
        parts = urlsplit(entry.strip())
        host, port = normalized_host(parts.netloc), parts.port
    except ValueError:
        raise ValueError(wrong) from None
    extra = parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in ("http", "https") or extra or host.startswith("*"):
        raise ValueError(wrong)
    host = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + ("" if port in (None, default) else f":{port}")


def normalized_network(entry: str) -> str:
    """An address or network, e.g. 10.0.0.0/8. Raises ValueError."""
    try:
        return str(ip_network(entry.strip(), strict=False))
    except ValueError:
        raise ValueError(f"{entry!r} is no address: write one like 127.0.0.1, or a network like 10.0.0.0/8") from None


def normalized_prefix(entry: str) -> str:
    """The path of a prefix without a slash at its end, '' for none. Raises ValueError."""
    path = entry.strip().rstrip("/")
    if path and not PREFIX.fullmatch(path):
        raise ValueError(f"{entry!r} is no path that a proxy strips: write one like /api or /user/ann/proxy/8000")
    return path


def mapped(network: str) -> str:
    """A normalized network of IPv4 addresses as IPv6 writes them, ::ffff:1.2.3.4 (RFC 4291, 2.5.5.2)."""
    address, _, bits = network.partition("/")
    return f"::ffff:{address}/{96 + int(bits)}"


def is_in(address: str, networks: Iterable[str]) -> bool:
    """Whether an address is in one of these normalized networks; one of IPv4 also as IPv6 writes it."""
    if not is_ip(address):
        return False
    ip = ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return any(ip in ip_network(each) for each in networks)


def prefix_of(header: str) -> str:
    """The path of an X-Forwarded-Prefix header, without a slash at its end; '' where it is no plain path."""
    try:
        return normalized_prefix(header)
    except ValueError:
        return ""
