"""The API's description, OpenAPI 3.1, made from the route table and the very structs that decode and encode."""

import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import msgspec
from msgspec import inspect

from gateway.web.endpoints import ENDPOINTS, Endpoint
from gateway.web.errors import PROBLEM_TYPE, Problem
from gateway.web.idempotency import HEADER
from gateway.web.operations import ROUTES
from gateway.web.route import PREFIX, Nothing, Replay, Route

_REF: Final = "#/components/schemas/{name}"
_PARAMETER: Final = re.compile(r"{(\w+)(?::[^}]*)?}")
_ABOUT: Final = """Everything that an agent's screen does, for programs too.

Log in by `POST /api/v1/sessions`, or send `Authorization: Bearer gw_…`. Lists go on with `after` from `next`. Errors are
`application/problem+json` with a stable `code`. What is not yours to see answers exactly like what does not exist: 404."""
#: What can happen to every operation of the API.
_COMMON_ERRORS: Final = {
    400: "The request cannot be read: `invalid_body`, `bad_query`, `token_in_url`, `bad_idempotency_key`.",
    401: "Not logged in: `unauthenticated`.",
    403: "Not allowed: `forbidden`, `csrf`.",
    404: "There is no such thing, or it is not yours to see: `not_found`.",
    503: "The database is away; try again: `unavailable`.",
}
_BODY_ERRORS: Final = {
    409: "Not now: see `code`.",
    413: "The body is too large: `too_large`.",
    415: "The body is no plain JSON: `unsupported_media_type`, `content_encoding`.",
    422: "Understood, but it makes no sense: see `code`.",
}


def describe(public_url: str) -> dict[str, Any]:
    """The whole document."""
    shown = [endpoint for endpoint in ENDPOINTS if not endpoint.hidden]
    types = _types(ROUTES, shown)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route, by_type)
    for endpoint in shown:
        paths.setdefault(_PARAMETER.sub(r"{\1}", endpoint.path), {})[endpoint.method.lower()] = _endpoint(endpoint, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sportello",
            "version": product_version(),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": public_url}],
        "security": [{"session": []}, {"token": []}],
        "tags": [{"name": name} for name in sorted({route.tag for route in ROUTES} | {endpoint.tag for endpoint in shown})],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "sportello_session"},
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "gw_…"},
            },
        },
    }


def product_version() -> str:
    """Of the installed distribution; ``0`` from a bare checkout."""
    try:
        return version("sportello")
    except PackageNotFoundError:
        return "0"


def _types(routes: Iterable[Route], endpoints: Iterable[Endpoint]) -> list[Any]:
    found: dict[Any, None] = {Problem: None}
    for route in routes:
        found.update(dict.fromkeys(type_ for type_ in (route.body, route.response) if type_ is not None))
    for endpoint in endpoints:
        found.update(dict.fromkeys(type_ for type_ in (endpoint.body, endpoint.response) if type_ is not None))
    return list(found)


def _operation(route: Route, schemas: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": [*_path_parameters(route.path), *_query_parameters(route), *_header_parameters(route)],
        "responses": _responses(route, schemas),
    }
    if route.handler.__doc__:
        operation["description"] = route.handler.__doc__
    if route.roles is None:
        operation["security"] = []
    else:
        operation["x-roles"] = sorted(route.roles)
    if route.raw and route.method == "POST":
        operation["requestBody"] = {"required": True, "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
    elif route.body is not None:
        content = {"application/json": {"schema": schemas[route.body]}}
        operation["requestBody"] = {"required": route.body is not Nothing, "content": content}
    return operation


def _responses(route: Route, schemas: dict[Any, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Done."}
    if route.response is not None:
        success["content"] = {"application/json": {"schema": schemas[route.response]}}
    elif route.raw:
        success["content"] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    problems = dict(_COMMON_ERRORS)
    if route.method != "GET":
        problems |= _BODY_ERRORS
    if "too_many_attempts" in route.errors:
        problems[429] = "Too many attempts: `too_many_attempts`."
    if "rate_limited" in route.errors:
        problems[429] = "Too many at once: `rate_limited`; `Retry-After` says when."
    content = {PROBLEM_TYPE: {"schema": schemas[Problem]}}
    answers: dict[str, Any] = {str(route.status): success}
    answers.update({str(status): {"description": text, "content": content} for status, text in sorted(problems.items())})
    if route.errors:
        answers["default"] = {
            "description": "An error. Codes of this operation: " + ", ".join(f"`{code}`" for code in route.errors),
            "content": content,
        }
    return answers


def _endpoint(endpoint: Endpoint, schemas: dict[Any, Any]) -> dict[str, Any]:
    answers: dict[str, Any] = {str(status): {"description": text} for status, text in endpoint.answers.items()}
    if endpoint.response is not None:
        first = str(min(endpoint.answers))
        answers[first]["content"] = {"application/json": {"schema": schemas[endpoint.response]}}
    operation: dict[str, Any] = {
        "operationId": "_".join([endpoint.method.lower(), *re.findall(r"\w+", endpoint.path)]),
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "parameters": _path_parameters(endpoint.path),
        "responses": answers,
        "security": [],
    }
    if endpoint.body is not None:
        operation["requestBody"] = {"content": {"application/json": {"schema": schemas[endpoint.body]}}}
    return operation


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in _PARAMETER.findall(path)]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    info = inspect.type_info(route.query)
    assert isinstance(info, inspect.StructType)
    properties = msgspec.json.schema(route.query).get("$defs", {}).get(route.query.__name__, {}).get("properties", {})
    return [
        {"name": field.encode_name, "in": "query", "required": field.required, "schema": properties.get(field.encode_name, {})}
        for field in info.fields
    ]


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    if route.method != "POST" or route.replay is Replay.NEVER:
        return []
    schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
    text = "The same key and body again: the same answer, and no second effect. Kept for at least 7 days."
    return [{"name": HEADER, "in": "header", "required": False, "description": text, "schema": schema}]
