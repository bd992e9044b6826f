"""The page of the HTTP API, written from the OpenAPI document of the app with all its optional routes."""

import json
from pathlib import Path
from typing import Any

from yololab import create_app
from yololab.api.setting_types import EXTRAS
from yololab.api.settings import Settings

HEAD = """# HTTP reference

Written from the app's own OpenAPI document, version {version}. A running server has the same at `/docs`, where each
route can be tried, and at `/openapi.json`. Routes marked *optional* are switched on by `YOLOLAB_EXTRAS`.
"""


def write(path: Path) -> None:
    """Write the page where its text is new; an unchanged file keeps its time, so that it is not built again."""
    text = page(
        create_app(Settings(extras=tuple(EXTRAS))).openapi(), set(create_app(Settings(extras=())).openapi()["paths"])
    )
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def page(document: dict[str, Any], always: set[str]) -> str:
    """Markdown for an OpenAPI 3.1 document; paths that are not in `always` are marked as optional."""
    parts = [HEAD.format(version=document["info"]["version"])]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            optional = "" if path in always else " *(optional)*"
            parts.append(
                f"\n## `{method.upper()} {path}`{optional}\n\n{operation.get('description') or operation['summary']}\n"
            )
            parts.append(_parameters(operation.get("parameters", [])))
            parts.append(_body(operation.get("requestBody")))
            parts.append(_responses(operation["responses"]))
    parts.append("\n## Schemas\n")
    for name, schema in document["components"]["schemas"].items():
        parts.append(
            f"\n### {name}\n\n{schema.get('description', '')}\n\n```json\n{json.dumps(schema, indent=1)}\n```\n"
        )
    return "".join(parts)


def _parameters(parameters: list[dict[str, Any]]) -> str:
    rows = [
        f"| `{each['name']}` | {each['in']} | {_kind(each['schema'])} | {_line(each.get('description', ''))} |"
        for each in parameters
    ]
    return "\n| parameter | in | type | |\n|---|---|---|---|\n" + "\n".join(rows) + "\n" if rows else ""


def _body(body: dict[str, Any] | None) -> str:
    if not body:
        return ""
    kinds = ", ".join(f"`{kind}`" for kind in body["content"])
    return f"\nBody: {kinds}.\n"


def _responses(responses: dict[str, Any]) -> str:
    rows = [f"| {status} | {_line(each['description'])} |" for status, each in responses.items()]
    return "\n| status | |\n|---|---|\n" + "\n".join(rows) + "\n"


def _kind(schema: dict[str, Any]) -> str:
    kinds = [each.get("type", each.get("$ref", "").rsplit("/", 1)[-1]) for each in schema.get("anyOf", [schema])]
    limits = [
        f"{word} {schema[key]}" for key, word in (("minimum", "at least"), ("maximum", "at most")) if key in schema
    ]
    return ", ".join([" or ".join(kind for kind in kinds if kind), *limits])


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
