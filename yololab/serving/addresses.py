"""Where a server is reached, and what keeps requests to this machine from going elsewhere."""

import os
import sys
from contextlib import suppress

from ..api.hosts import LOOPBACK


def url_of(host: str, port: int) -> str:
    """The URL at which a server that listens on `host` is reached from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def browser_hint(port: int) -> str:
    """How a browser reaches `port` where this machine is not the browser's own; '' where it is.

    JupyterHub and Binder have jupyter-server-proxy under the prefix that JUPYTERHUB_SERVICE_PREFIX names; Codespaces
    forwards each port to a host of its own, and so does Google Colab, which tells its name only to JavaScript.
    """
    if colab := sys.modules.get("google.colab"):
        with suppress(Exception):  # the notebook is not open in a browser, which is no reason not to serve
            return f"{str(colab.output.eval_js(f'google.colab.kernel.proxyPort({port})')).rstrip('/')}/docs"
    if prefix := os.environ.get("JUPYTERHUB_SERVICE_PREFIX"):
        return f"{prefix.rstrip('/')}/proxy/{port}/docs, on the address of this JupyterLab"
    name, domain = (os.environ.get(each) for each in ("CODESPACE_NAME", "GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN"))
    return f"https://{name}-{port}.{domain}/docs" if name and domain else ""


def bypass_proxies() -> None:
    """Let programs that are configured by HTTP_PROXY, such as requests, reach this machine directly (NO_PROXY)."""
    if not any(os.environ.get(name) for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")):
        return
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = [name.strip() for name in listed.split(",") if name.strip()]
    if "*" not in names:
        names += [name for name in sorted(LOOPBACK) if name not in names]
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(names)
