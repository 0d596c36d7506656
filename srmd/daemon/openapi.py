"""What a route is, and the OpenAPI 3.1 document that a table of routes makes.

`routes.ROUTES` is the only place where the API is described: `http` answers by it, `document`
publishes it.  The responses that follow from what a route is (a token is needed, a body is read,
the node may refuse) are worked out here, so that no route can forget to publish one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from srmd.daemon.facade import Facade
from srmd.daemon.strict_json import Schema

NODE_HEADER = "X-SRMD-Node"
"""By which a request says which node it is for, as `GROUP/NODE`."""
OPENAPI_VERSION = "3.1.0"


class Access(Enum):
    """Who may use a route."""

    OPEN = "open"
    TOKEN = "token"  # noqa: S105 - a word, not a token
    """Whoever shows the token of the configuration; anyone on this machine when it has none."""
    PEER = "peer"
    """The peer node, which signs its messages; the facade judges that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a request carries."""

    media_type: str = "application/json"
    schema: Schema
    example: Any
    max_bytes: int
    required: bool = True
    """When not, an empty body stands for an empty object."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request that fits its route: fields are checked and have their defaults."""

    facade: Facade
    target: str
    """Path and query as they were sent; the peer's signature covers them."""
    headers: Mapping[str, str]
    path: Mapping[str, str]
    query: Mapping[str, Any]
    fields: Mapping[str, Any]
    """Of a JSON body."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A response.  A `body` of bytes is sent as it is, anything else as JSON."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path: what it takes, who may use it, and what it answers."""

    method: str
    path: str
    """Of the site; `{name}` is a field of `path_fields`."""
    name: str
    """operationId of the document: unique."""
    summary: str
    handler: Handler
    answers: Mapping[int, tuple[str, Schema]]
    """What is answered when all is well: status, meaning and schema."""
    media_type: str = "application/json"
    """Of these answers; errors are always JSON."""
    path_fields: Mapping[str, Schema] = field(default_factory=dict)
    query: Mapping[str, Schema] = field(default_factory=dict)
    body: Body | None = None
    access: Access = Access.OPEN
    asks_node: bool = False
    """The handler passes a request on to the node, which may refuse it (facade.Refused)."""
    any_answer: bool = False
    """The handler passes on whatever status the node chooses."""
    head: bool = False
    """HEAD is answered too, as balancers and probes ask: the same without its body."""

    @property
    def methods(self) -> tuple[str, ...]:
        return (self.method, "HEAD") if self.head else (self.method,)

    @property
    def needs_token(self) -> bool:
        return self.access is Access.TOKEN

    @property
    def query_schema(self) -> Schema:
        """The query as one object."""
        return {"type": "object", "properties": self.query, "additionalProperties": False}

    def errors(self) -> Mapping[int, str]:
        """The statuses, with their meaning, that can refuse a request to this route."""
        found = {
            403: _FORBIDDEN[self.access],
            500: "A mistake in srmd; it is in the node's log.",
            503: "Too many connections are open, or the node has too little memory.",
        }
        if self.access is not Access.PEER:
            found[421] = f"`{NODE_HEADER}` asks for another node than this one."
        if self.needs_token:
            found[401] = "The token of the configuration is missing or wrong."
        if self.body is not None:
            found[400] = "The body cannot be read: it is missing, cut short or malformed."
            found[408] = "The body did not arrive in time."
            found[411] = "The body comes in chunks, without a Content-Length."
            found[413] = f"The body is longer than {self.body.max_bytes} bytes."
            found[415] = f"The body is not plain {self.body.media_type}."
        if any("enum" in schema for schema in self.path_fields.values()):
            found[404] = "The path names something that does not exist."
        if self.asks_node:
            found[404] = "The request names something that does not exist."
            found[409] = "Not in this state; `needed` says which state is needed."
            found[422] = "A field or a line is wrong; `problems` has each."
            found[503] = (
                "The peer or the database cannot be reached, too many connections are open, or the "
                "node has too little memory."
            )
        return dict(sorted(found.items()))


_NOT_LOCAL = (
    "The Host is a name that is not in control.allowed_hosts; without a configured token, also an "
    "address of another machine, or an Origin of another site."
)
_FORBIDDEN = {
    Access.OPEN: _NOT_LOCAL,
    Access.TOKEN: _NOT_LOCAL,
    Access.PEER: "Sent by a browser.",
}


def document(
    routes: tuple[Route, ...], schemas: Mapping[str, Schema], *, version: str
) -> dict[str, Any]:
    """The OpenAPI document of these routes; `schemas` are its components, `Error` too."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        of_path = paths.setdefault(route.path, {})
        of_path[route.method.lower()] = _operation(route)
        if route.head:
            of_path["head"] = _head(route)
    return {
        "openapi": OPENAPI_VERSION,
        "info": {
            "title": "srmd",
            "version": version,
            "summary": "Administration of one node of a presence redundancy group.",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(schemas),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`control.token` of the node's configuration, if it has one.",
                }
            },
        },
    }


_ABOUT = """\
Every error is an `Error`: what was wrong, and the way out.
An action is answered with 202 as soon as it is taken up; `GET /api/v1/status` shows it progress.
What is not HTTP is answered with 400.
The messages below `/control` are for the peer node, which signs them."""


def _operation(route: Route) -> dict[str, Any]:
    responses = {
        str(status): _response(*answer, route.media_type)
        for status, answer in route.answers.items()
    }
    if route.any_answer:
        responses["default"] = _response("The answer of the node.", {"type": "object"})
    error = {"$ref": "#/components/schemas/Error"}
    for status, meaning in route.errors().items():
        responses.setdefault(str(status), _response(meaning, error))
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [
            *(_parameter(name, schema, "path") for name, schema in route.path_fields.items()),
            *(_parameter(name, schema, "query") for name, schema in route.query.items()),
            *([] if route.access is Access.PEER else [_NODE_PARAMETER]),
        ],
        "responses": responses,
    }
    if route.needs_token:
        operation["security"] = [{"token": []}]
    if route.body is not None:
        content = {"schema": route.body.schema, "example": route.body.example}
        operation["requestBody"] = {
            "required": route.body.required,
            "content": {route.body.media_type: content},
        }
    return operation


_NODE_PARAMETER = {
    "name": NODE_HEADER,
    "in": "header",
    "required": False,
    "description": "The node that is meant, as `GROUP/NODE`; another one refuses with 421.",
    "schema": {"type": "string"},
}


def _head(route: Route) -> dict[str, Any]:
    """The same operation without bodies."""
    operation = _operation(route)
    responses = operation["responses"].items()
    return {
        **operation,
        "operationId": f"{route.name}Head",
        "summary": f"{route.summary} Only the status.",
        "responses": {status: {"description": one["description"]} for status, one in responses},
    }


def _response(meaning: str, schema: Schema, media_type: str = "application/json") -> dict[str, Any]:
    return {"description": meaning, "content": {media_type: {"schema": schema}}}


def _parameter(name: str, schema: Schema, place: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}
