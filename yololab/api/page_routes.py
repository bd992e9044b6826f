"""A page of the API, GET /NAME, and its files under /NAME-assets: those of pages/NAME, and of pages/shared."""

from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import NotModifiedResponse, StaticFiles

PAGES = Path(__file__).parent / "pages"
TYPES = {  # Windows may think otherwise
    ".css": "text/css", ".js": "text/javascript", ".json": "application/json", ".svg": "image/svg+xml",
    ".webm": "video/webm",
}  # fmt: skip
FRESH = {"Cache-Control": "no-cache"}


def page_router(name: str, policy: str) -> APIRouter:
    """GET /name and GET /name-assets/{file}. policy: its Content-Security-Policy (W3C, level 3)."""
    routes = APIRouter(include_in_schema=False)

    @routes.get(f"/{name}")
    def page(request: Request) -> Response:
        return _file(PAGES / name / f"{name}.html", request, {"Content-Security-Policy": policy})

    @routes.get(f"/{name}-assets/{{file}}")
    def asset(file: str, request: Request) -> Response:
        for folder in (PAGES / name, PAGES / "shared"):
            if file in {each.name for each in folder.iterdir()}:
                return _file(folder / file, request, {})
        raise HTTPException(404)

    return routes


def _file(path: Path, request: Request, headers: dict[str, str]) -> Response:
    """The file, or 304 where the client has it already (RFC 9110, 13.1)."""
    status = path.stat()
    response = FileResponse(path, media_type=TYPES.get(path.suffix), headers=FRESH | headers, stat_result=status)
    if StaticFiles().is_not_modified(response.headers, request.headers):
        return NotModifiedResponse(response.headers)
    return response
