"""/docs and /redoc from packages on this machine; a policy keeps the pages from asking any other host."""

from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

ASSETS = Path(fastapi_offline.__file__).parent / "static"
POLICY = (  # W3C Content Security Policy 3
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; worker-src blob:; font-src 'self' data:; frame-ancestors 'self'"
)
LOGO = b"https://cdn.redoc.ly/redoc/logo-mini.svg"  # the one thing that ReDoc loads from elsewhere
EMPTY = b"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E"


# not functions inside of add_docs: FastAPI remembers each one for the life of the process, and an app with it
router = APIRouter(include_in_schema=False)


@router.get("/docs-assets/redoc.standalone.js")
def redoc_script() -> Response:
    script = (ASSETS / "redoc.standalone.js").read_bytes().replace(LOGO, EMPTY)
    return Response(script, media_type="text/javascript", headers={"Cache-Control": "max-age=86400"})


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    root = request.scope.get("root_path", "")
    page = get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title=f"{request.app.title}: try it",
        swagger_js_url=f"{root}/docs-assets/swagger-ui-bundle.js",
        swagger_css_url=f"{root}/docs-assets/swagger-ui.css",
        swagger_favicon_url=f"{root}/docs-assets/favicon.png",
        swagger_ui_parameters={
            "tryItOutEnabled": True,
            "displayRequestDuration": True,
            "defaultModelsExpandDepth": 0,
        },
    )
    return HTMLResponse(page.body, headers={"Content-Security-Policy": POLICY})


@router.get("/redoc")
def redoc(request: Request) -> HTMLResponse:
    root = request.scope.get("root_path", "")
    page = get_redoc_html(
        openapi_url=f"{root}/openapi.json",
        title=f"{request.app.title}: reference",
        redoc_js_url=f"{root}/docs-assets/redoc.standalone.js",
        redoc_favicon_url=f"{root}/docs-assets/favicon.png",
        with_google_fonts=False,
    )
    return HTMLResponse(page.body, headers={"Content-Security-Policy": POLICY})


def add_docs(app: FastAPI) -> None:
    """Add /docs (Swagger UI), /redoc and /docs-assets, which all work behind a proxy that strips a prefix."""
    app.include_router(router)
    app.mount("/docs-assets", StaticFiles(directory=ASSETS), name="docs-assets")
