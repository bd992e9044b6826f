"""A page of the API, GET /NAME, and its files under /NAME-assets: those of pages/NAME, and of pages/shared."""

from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

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
    def page() -> Response:
        return FileResponse(PAGES / name / f"{name}.html", headers={**FRESH, "Content-Security-Policy": policy})

    @routes.get(f"/{name}-assets/{{file}}")
    def asset(file: str) -> Response:
        for folder in (PAGES / name, PAGES / "shared"):
            if file in {each.name for each in folder.iterdir()}:
                return FileResponse(folder / file, media_type=TYPES.get(Path(file).suffix), headers=FRESH)
        raise HTTPException(404)

    return routes
