"""/docs and /redoc from packages on this machine; a policy keeps the pages from asking any other host."""

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

ASSETS = Path(fastapi_offline.__file__).parent / "static"
POLICY = (  # W3C Content Security Policy 3
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; worker-src blob:; font-src 'self' data:; frame-ancestors 'self'"
)
# ReDoc's own logo lies on a CDN: the policy blocks it, and this hides the broken picture
NO_LOGO = "<style>a[href^='https://redocly.com'] img { display: none }</style></head>"


def add_docs(app: FastAPI) -> None:
    """Add /docs (Swagger UI), /redoc and /docs-assets, which all work behind a proxy that strips a prefix."""
    app.mount("/docs-assets", StaticFiles(directory=ASSETS), name="docs-assets")

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "")
        page = get_swagger_ui_html(
            openapi_url=f"{root}/openapi.json",
            title=f"{app.title}: try it",
            swagger_js_url=f"{root}/docs-assets/swagger-ui-bundle.js",
            swagger_css_url=f"{root}/docs-assets/swagger-ui.css",
            swagger_favicon_url=f"{root}/docs-assets/favicon.png",
            swagger_ui_parameters={"tryItOutEnabled": True, "displayRequestDuration": True},
        )
        return HTMLResponse(page.body, headers={"Content-Security-Policy": POLICY})

    @app.get("/redoc", include_in_schema=False)
    def redoc(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "")
        page = get_redoc_html(
            openapi_url=f"{root}/openapi.json",
            title=f"{app.title}: reference",
            redoc_js_url=f"{root}/docs-assets/redoc.standalone.js",
            redoc_favicon_url=f"{root}/docs-assets/favicon.png",
            with_google_fonts=False,
        )
        body = bytes(page.body).replace(b"</head>", NO_LOGO.encode())
        return HTMLResponse(body, headers={"Content-Security-Policy": POLICY})
