"""Every route of a node's HTTP side: the one table from which the server and its document are made.

A handler turns a checked call into one question to the facade; what may go wrong on the way there
is the business of `http`, what the node refuses is the facade's.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from srmd import __version__
from srmd.daemon.facade import (
    Action,
    Done,
    Fault,
    Outcome,
    PowerAction,
    Refused,
    ServiceAction,
    SrmAction,
)
from srmd.daemon.openapi import Access, Answer, Body, Call, Route, document
from srmd.daemon.schemas import (
    FLAG,
    LIST_USERS_DEFAULT,
    LIST_USERS_MAX,
    MODE,
    NODE,
    NODE_CHARS_MAX,
    PREFIX_CHARS_MAX,
    SCHEMAS,
    USER,
    USER_COUNT,
    USER_ID_CHARS_MAX,
    ref,
    request,
)
from srmd.daemon.strict_json import Schema
from srmd.store.database import AssignmentMode
from srmd.wire.codec import dump_json
from srmd.wire.control import MAX_BODY_BYTES as CONTROL_BYTES_MAX

JSON_BYTES_MAX = 16 * 1024
"""Far more than any request has, and read in well under a millisecond."""
IMPORT_BYTES_MAX = 8 * 1024 * 1024

REFUSED_STATUS = {"conflict": 409, "not_found": 404, "invalid": 422, "unavailable": 503}
"""What `Refused.kind` is in HTTP."""


def answered(outcome: Outcome, status: int) -> Answer:
    """What the node made of a request, in HTTP; `status` is that of success."""
    match outcome:
        case Done() if status == 202:
            return Answer(202, {"op": outcome.op, "detail": outcome.detail, **outcome.result})
        case Done():
            return Answer(status, {"detail": outcome.detail, **outcome.result})
        case Refused():
            return Answer(
                REFUSED_STATUS[outcome.kind],
                error(outcome.detail, needed=outcome.needed, problems=outcome.problems),
            )


def error(text: str, *, needed: str = "", problems: tuple[Any, ...] = ()) -> dict[str, Any]:
    """The body of every error."""
    body: dict[str, Any] = {"error": text}
    if needed:
        body["needed"] = needed
    if problems:
        body["problems"] = [dict(problem) for problem in problems]
    return body


async def get_status(call: Call) -> Answer:
    return Answer(200, call.facade.status())


async def get_health(call: Call) -> Answer:
    local = call.facade.status()["local"]
    return Answer(200, {"state": local["state"], "version": local["version"]})


async def get_serving(call: Call) -> Answer:
    shown = call.facade.status()
    node, state = shown["local"]["node"], shown["local"]["state"]
    served = shown["users"]["served"][node] or 0
    said = {"serving": served > 0, "served": served, "state": state}
    if served:
        return Answer(200, said)
    return Answer(503, {**error(f"node {node} serves no users: it is in {state}"), **said})


async def get_document(_call: Call) -> Answer:
    return Answer(200, _DOCUMENT_JSON)


async def act(call: Call) -> Answer:
    action = Action(call.path["action"])
    return answered(await call.facade.act(action, call.fields["node"]), 202)


async def recover(call: Call) -> Answer:
    node = call.fields.get("node", call.facade.config.node.id)
    return answered(await call.facade.act(Action.RECOVER, node), 202)


async def set_ha(call: Call) -> Answer:
    return answered(await call.facade.set_ha(call.fields["enabled"]), 202)


async def get_services(call: Call) -> Answer:
    return Answer(200, {"services": call.facade.services()})


async def act_on_service(call: Call) -> Answer:
    action = ServiceAction(call.path["action"])
    return answered(await call.facade.service(call.path["name"], action), 202)


async def act_on_srm(call: Call) -> Answer:
    return answered(await call.facade.order_srm(SrmAction(call.path["action"])), 202)


async def act_on_power(call: Call) -> Answer:
    return answered(await call.facade.power(PowerAction(call.path["action"])), 202)


async def reload(call: Call) -> Answer:
    return answered(await call.facade.reload("srmd config reload"), 200)


async def get_users(call: Call) -> Answer:
    query = call.query
    users = call.facade.users(
        query["after"], query["limit"], query.get("home"), query.get("serving")
    )
    return answered(await users, 200)


async def import_users(call: Call) -> Answer:
    return answered(await call.facade.import_users(call.body), 200)


async def generate_users(call: Call) -> Answer:
    fields = call.fields
    users = call.facade.generate_users(fields["count"], fields["mode"], fields["prefix"])
    return answered(await users, 200)


async def assign_users(call: Call) -> Answer:
    fields = call.fields
    users = call.facade.assign_users(fields.get("mode"), fields.get("user"), fields.get("home"))
    return answered(await users, 200)


async def unassign_users(call: Call) -> Answer:
    return answered(await call.facade.unassign_users(call.fields.get("user")), 200)


async def delete_users(call: Call) -> Answer:
    return answered(await call.facade.delete_users(call.fields.get("user")), 200)


async def export_users(call: Call) -> Answer:
    exported = await call.facade.export_users()
    if isinstance(exported, Refused):
        return answered(exported, 200)
    return Answer(200, exported, {"Content-Type": "text/csv; charset=utf-8"})


async def get_topology(call: Call) -> Answer:
    return answered(await call.facade.topology(), 200)


async def set_fault(call: Call) -> Answer:
    return answered(await call.facade.fault(Fault(call.path["fault"]), active=True), 202)


async def clear_fault(call: Call) -> Answer:
    return answered(await call.facade.fault(Fault(call.path["fault"]), active=False), 202)


async def pass_to_node(call: Call) -> Answer:
    reply = await call.facade.control(call.target, call.headers, call.body)
    return Answer(reply.status, reply.body, reply.headers)


def _one_of(*words: Enum) -> Schema:
    return {"type": "string", "enum": [word.value for word in words]}


def _takes(schema: Schema, example: Any, *, required: bool = True) -> Body:
    return Body(schema=schema, example=example, max_bytes=JSON_BYTES_MAX, required=required)


_NOTHING = _takes(request({}), {}, required=False)
_TAKEN_UP = {202: ("Taken up.", ref("TakenUp"))}
_CHANGED = {200: ("Done.", ref("Changed"))}
_API = "/api/v1"

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path=f"{_API}/status",
        name="getStatus",
        summary="The pair as this node sees it: states, services, users, what to do.",
        handler=get_status,
        answers={200: ("The status.", ref("Status"))},
    ),
    Route(
        method="GET",
        path=f"{_API}/health",
        name="getHealth",
        summary="Answers while the node's loop lives; for health checks of containers.",
        handler=get_health,
        answers={200: ("It lives.", ref("Health"))},
        head=True,
    ),
    Route(
        method="GET",
        path=f"{_API}/serving",
        name="getServing",
        summary="Whether this node serves users now; for load balancers.",
        handler=get_serving,
        answers={
            200: ("It serves users.", ref("Serving")),
            503: (
                "It serves no users, too many connections are open, or it has too little memory.",
                ref("Error"),
            ),
        },
        head=True,
    ),
    Route(
        method="GET",
        path=f"{_API}/openapi.json",
        name="getDocument",
        summary="This document.",
        handler=get_document,
        answers={200: ("An OpenAPI 3.1 document.", {"type": "object", "required": ["openapi"]})},
    ),
    Route(
        method="POST",
        path=f"{_API}/actions/{{action}}",
        name="act",
        summary="Failover of a node (the one that fails), or fallback to a node (the home node).",
        handler=act,
        answers=_TAKEN_UP,
        path_fields={"action": _one_of(Action.FAILOVER, Action.FALLBACK)},
        body=_takes(request({"node": NODE}), {"node": "a"}),
        access=Access.TOKEN,
        asks_node=True,
    ),
    Route(
        method="POST",
        path=f"{_API}/actions/recover",
        name="recover",
        summary="Recovery of the pair from Running in Failed Mode; any of its nodes may be named.",
        handler=recover,
        answers=_TAKEN_UP,
        body=_takes(request({}, optional={"node": NODE}), {"node": "a"}, required=False),
        access=Access.TOKEN,
        asks_node=True,
    ),
    Route(
        method="POST",
        path=f"{_API}/ha",
        name="setHighAvailability",
        summary="Enable or disable high availability, on both nodes.",
        handler=set_ha,
        answers=_TAKEN_UP,
        body=_takes(request({"enabled": FLAG}), {"enabled": True}),
        access=Access.TOKEN,
        asks_node=True,
    ),
    Route(
        method="GET",
        path=f"{_API}/services",
        name="getServices",
        summary="The services of this node.",
        handler=get_services,
        answers={200: ("The services.", ref("Services"))},
    ),
    Route(
        method="POST",
        path=f"{_API}/services/{{name}}/{{action}}",
        name="actOnService",
        summary="Start, stop or restart a service, or break it: kill, hang, block, unblock.",
        handler=act_on_service,
        answers=_TAKEN_UP,
        path_fields={
            "name": {
                "type": "string",
                "examples": ["Cisco Presence Engine"],
                "description": "In any capitals; a beginning is enough where no other service has"
                " it, and Cisco may be left out.",
            },
            "action": _one_of(*ServiceAction),
        },
        body=_NOTHING,
        access=Access.TOKEN,
        asks_node=True,
    ),
    Route(
        method="POST",
        path=f"{_API}/srm/{{action}}",
        name="actOnSrm",
        summary="Start, stop or restart the Server Recovery Manager of this node.",
        handler=act_on_srm,
        answers=_TAKEN_UP,
        path_fields={"action": _one_of(*SrmAction)},
        body=_NOTHING,
        access=Access.TOKEN,
        asks_node=True,
    ),
    Route(
        method="POST",
        path=f"{_API}/node/{{action}}",
        name="actOnNode",
        summary="Shut this node down or reboot it; its peer is told.",
        handler=act_on_power,
        answers=_TAKEN_UP,
        path_fields={"action": _one_of(*PowerAction)},
        body=_NOTHING,
        access=Access.TOKEN,
        asks_node=True,
    ),
    Route(
        method="POST",
        path=f"{_API}/config/reload",
        name="reloadConfiguration",
        summary="Read the configuration and its files again, and take what can change while SRM"
        " runs.",
        handler=reload,
        answers={200: ("It was read; what is kept, and why, stands beside.", ref("Reloaded"))},
        body=_NOTHING,
        access=Access.TOKEN,
        asks_node=True,
    ),
    Route(
        method="GET",
        path=f"{_API}/users",
        name="getUsers",
        summary="Users in the order of their ids, a page at a time.",
        handler=get_users,
        answers={200: ("A page.", ref("Users"))},
        query={
            "after": {"type": "string", "maxLength": USER_ID_CHARS_MAX, "default": ""},
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": LIST_USERS_MAX,
                "default": LIST_USERS_DEFAULT,
            },
            "home": {
                "type": "string",
                "maxLength": NODE_CHARS_MAX,
                "description": "Only users of this home node; empty: those that have none.",
            },
            "serving": {
                "type": "string",
                "maxLength": NODE_CHARS_MAX,
                "description": "Only users that are served by this node.",
            },
        },
        asks_node=True,
    ),
    Route(
        method="POST",
        path=f"{_API}/users/import",
        name="importUsers",
        summary="Add the users of a CSV file, all or none.",
        handler=import_users,
        answers={200: ("Imported.", ref("Imported"))},
        body=Body(
            media_type="text/csv",
            schema={"type": "string", "minLength": 1},
            example="user_id,home_node\nalice,a\nbob,b\n",
            max_bytes=IMPORT_BYTES_MAX,
        ),
        access=Access.TOKEN,
        asks_node=True,
    ),
    Route(
        method="POST",
        path=f"{_API}/users/generate",
        name="generateUsers",
        summary="Add numbered users.",
        handler=generate_users,
        answers={200: ("Generated.", ref("Generated"))},
        body=_takes(
            request(
                {"count": USER_COUNT},
                optional={
                    "mode": {**MODE, "default": AssignmentMode.BALANCED.value},
                    "prefix": {
                        "type": "string",
                        "minLength": 1,
                        "maxLength": PREFIX_CHARS_MAX,
                        "default": "user",
                    },
                },
            ),
            {"count": 500, "mode": "balanced", "prefix": "user"},
        ),
        access=Access.TOKEN,
        asks_node=True,
    ),
    Route(
        method="POST",
        path=f"{_API}/users/assign",
        name="assignUsers",
        summary="Give home nodes: to all users by a mode, or to one user.",
        handler=assign_users,
        answers=_CHANGED,
        body=_takes(
            {"oneOf": [request({"mode": MODE}), request({"user": USER, "home": NODE})]},
            {"user": "alice", "home": "b"},
        ),
        access=Access.TOKEN,
        asks_node=True,
    ),
    Route(
        method="POST",
        path=f"{_API}/users/unassign",
        name="unassignUsers",
        summary="Take the home node from one user or from all.",
        handler=unassign_users,
        answers=_CHANGED,
        body=_takes(
            {"oneOf": [request({"user": USER}), request({"all": {**FLAG, "enum": [True]}})]},
            {"user": "alice"},
        ),
        access=Access.TOKEN,
        asks_node=True,
    ),
    Route(
        method="POST",
        path=f"{_API}/users/delete",
        name="deleteUsers",
        summary="Delete one user or all, on both nodes.",
        handler=delete_users,
        answers={200: ("Deleted.", ref("Deleted"))},
        body=_takes(
            {"oneOf": [request({"user": USER}), request({"all": {**FLAG, "enum": [True]}})]},
            {"user": "alice"},
        ),
        access=Access.TOKEN,
        asks_node=True,
    ),
    Route(
        method="GET",
        path=f"{_API}/users/export",
        name="exportUsers",
        summary="All users as a CSV file, which can be imported again.",
        handler=export_users,
        answers={200: ("The file.", {"type": "string"})},
        media_type="text/csv",
        access=Access.TOKEN,
        asks_node=True,
    ),
    Route(
        method="GET",
        path=f"{_API}/users/topology",
        name="getTopology",
        summary="How many users each node has and serves.",
        handler=get_topology,
        answers={200: ("The topology.", ref("Topology"))},
        asks_node=True,
    ),
    Route(
        method="PUT",
        path=f"{_API}/faults/{{fault}}",
        name="setFault",
        summary="Break a part of this node, for a rehearsal.",
        handler=set_fault,
        answers=_TAKEN_UP,
        path_fields={"fault": _one_of(*Fault)},
        body=_NOTHING,
        access=Access.TOKEN,
        asks_node=True,
    ),
    Route(
        method="DELETE",
        path=f"{_API}/faults/{{fault}}",
        name="clearFault",
        summary="Repair what was broken for a rehearsal.",
        handler=clear_fault,
        answers=_TAKEN_UP,
        path_fields={"fault": _one_of(*Fault)},
        access=Access.TOKEN,
        asks_node=True,
    ),
    Route(
        method="POST",
        path="/control/v1/{message}",
        name="control",
        summary="A message of the peer node, signed by it.",
        handler=pass_to_node,
        answers={},
        path_fields={
            "message": {"type": "string", "enum": ["report", "command", "placement", "users"]}
        },
        body=Body(schema={"type": "object"}, example={}, max_bytes=CONTROL_BYTES_MAX),
        access=Access.PEER,
        any_answer=True,
    ),
)

DOCUMENT = document(ROUTES, SCHEMAS, version=__version__)
_DOCUMENT_JSON = dump_json(DOCUMENT)
"""Encoded once, so that many requests for it do not cost the loop its time."""
