"""The shapes of what the API answers and takes, as JSON Schema (2020-12, as OpenAPI 3.1 uses it).

Answers are open: a node may tell more than is written here.  Requests are closed: an unknown field
is refused, because it is a typing error more often than not.
"""

from __future__ import annotations

from typing import Any

from srmd.core.states import State
from srmd.daemon.facade import Action
from srmd.daemon.strict_json import Schema
from srmd.store.database import USERS_MAX, AssignmentMode
from srmd.store.disk import DiskFault

NODE_CHARS_MAX = 128
USER_ID_CHARS_MAX = 128
PREFIX_CHARS_MAX = 100
LIST_USERS_MAX = 1000
LIST_USERS_DEFAULT = 100


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def answer(properties: dict[str, Any], *, optional: dict[str, Any] | None = None) -> Schema:
    """An object that we send: these fields, and perhaps more."""
    return {
        "type": "object",
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
    }


def request(required: dict[str, Any], *, optional: dict[str, Any] | None = None) -> Schema:
    """An object that we take: these fields and no other."""
    return {**answer(required, optional=optional), "additionalProperties": False}


def listed(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def by_node(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


TEXT: Schema = {"type": "string"}
VERSION: Schema = {"type": "string", "description": "Version of srmd that runs."}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
OPERATION: Schema = {
    "type": ["integer", "null"],
    "description": "Operation number of the transition that it began.",
}
SECONDS: Schema = {"type": ["number", "null"], "description": "Seconds; null: not known."}
TWO_LANGUAGES = answer({"en": TEXT, "ja": TEXT})
COUNT_OR_UNKNOWN: Schema = {
    "type": ["integer", "null"],
    "minimum": 0,
    "description": "Null: not known.",
}
NAME_OR_UNKNOWN: Schema = {"type": ["string", "null"], "description": "Null: not known."}
NAME_OR_NONE: Schema = {"type": ["string", "null"]}
PLACEMENT: Schema = {
    **by_node(NAME_OR_UNKNOWN),
    "description": "Home node to the node that serves its users.",
}

# Fields of requests.
NODE: Schema = {"type": "string", "minLength": 1, "maxLength": NODE_CHARS_MAX}
USER: Schema = {"type": "string", "minLength": 1, "maxLength": USER_ID_CHARS_MAX}
MODE: Schema = {"type": "string", "enum": [mode.value for mode in AssignmentMode]}
USER_COUNT: Schema = {"type": "integer", "minimum": 1, "maximum": USERS_MAX}

_ACTION: Schema = {"type": "string", "enum": [action.value for action in Action]}

_SIDE: dict[str, Any] = {
    "node": TEXT,
    "state": {"type": "string", "description": "Name of the state, as Cisco prints it."},
    "srm_state": {
        "type": "integer",
        "minimum": min(State),
        "maximum": max(State),
        "description": "The counter SRMState; 12 is a peer that is silent.",
    },
    "reason": TEXT,
    "since": {
        "type": ["string", "null"],
        "description": "Wall-clock time of the last change, ISO 8601.",
    },
    "op": {"type": ["integer", "null"], "description": "Operation number; null: not known."},
}

_OUTAGE: Schema = {
    "type": ["object", "null"],
    "description": "Why the node cannot serve the users that it has to serve; null: it can.",
    "properties": {
        "services": {**listed(TEXT), "description": "What does not run."},
        "unserved": COUNT_OR_UNKNOWN,
        "critical_service_delay_left_s": {
            **SECONDS,
            "description": "How much of the critical service delay is left; null: not known.",
        },
    },
}

SCHEMAS: dict[str, Schema] = {
    "Error": answer(
        {"error": {"type": "string", "minLength": 1}},
        optional={
            "needed": {"type": "string", "description": "The state that is needed."},
            "problems": listed(ref("Problem")),
            "serving": {"type": "boolean", "description": "false: of `/api/v1/serving`."},
        },
    ),
    "Problem": {
        **answer(
            {"value": TEXT, "reason": TEXT},
            optional={"field": TEXT, "line": {"type": "integer", "minimum": 1}},
        ),
        "description": "A wrong field of a request, or a wrong line of a file.",
    },
    "TakenUp": answer(
        {"op": OPERATION, "detail": TEXT},
        optional={
            "refused": {
                **listed(TEXT),
                "description": "Of a start of SRM: what it keeps, and why it does not take the"
                " configuration as it is in the files.",
            }
        },
    ),
    "Reloaded": answer(
        {
            "detail": TEXT,
            "taken": listed(TEXT),
            "refused": listed(TEXT),
            "needs": listed(answer({"key": TEXT, "command": TEXT})),
        }
    ),
    "Health": answer({"state": TEXT, "version": VERSION}),
    "Serving": answer({"serving": FLAG, "served": COUNT, "state": TEXT}),
    "Service": answer(
        {
            "name": TEXT,
            "state": {"type": "string", "enum": ["STARTED", "STARTING", "STOPPED", "STOPPING"]},
            "note": {"type": "string", "description": "Such as: Commanded out of service."},
            "critical": FLAG,
        }
    ),
    "Services": answer({"services": listed(ref("Service"))}),
    "Status": answer(
        {
            "group": TEXT,
            "ha_enabled": FLAG,
            "local": answer({**_SIDE, "version": VERSION}, optional={"outage": _OUTAGE}),
            "peer": answer(
                {
                    **_SIDE,
                    "heard": {"type": "boolean", "description": "Not silent for the timeout."},
                    "silent_s": SECONDS,
                    "suspect": {
                        "type": "boolean",
                        "description": "Heard, but the third heartbeat is overdue, or one is after"
                        " half of the timeout.",
                    },
                    "beats_missed": COUNT_OR_UNKNOWN,
                    "seconds_to_peer_down": SECONDS,
                    "hears_us": FLAG,
                },
                optional={
                    "outage": _OUTAGE,
                    "version": {
                        "type": ["string", "null"],
                        "description": "Version of srmd that the peer told in its last control "
                        "message; null: none since SRM started, or an older one that tells none.",
                    },
                    "control_reachable": {
                        "type": ["boolean", "null"],
                        "description": "By the last call; null: it is too old to tell.",
                    },
                    "control_error": {"type": "string", "description": "Why not; may be empty."},
                    "control_error_ja": {"type": "string", "description": "The same in Japanese."},
                    "control_called_ago_s": {
                        **SECONDS,
                        "description": "How old that is: when the last call ended; null: no call.",
                    },
                },
            ),
            "services": listed(ref("Service")),
            "database": answer(
                {
                    "state": TEXT,
                    "db_id": NAME_OR_UNKNOWN,
                    "users_revision": COUNT_OR_UNKNOWN,
                    "placement_op": COUNT_OR_UNKNOWN,
                    "users_count": COUNT_OR_UNKNOWN,
                    "digest": {
                        "type": ["string", "null"],
                        "description": "Equal where all users are; null: not known.",
                    },
                    "agrees_with_peer": {
                        "type": ["boolean", "null"],
                        "description": "Both databases hold the same users; null: not compared"
                        " since something changed, or the peer is not heard.",
                    },
                    "peer_users_count": COUNT_OR_UNKNOWN,
                },
                optional={
                    "peer_unread": {
                        **COUNT_OR_UNKNOWN,
                        "description": "Changes of users, at most, that the peer has not read here;"
                        " null: not known.",
                    },
                    "peer_unread_s": {
                        "type": ["number", "null"],
                        "description": "For so long there have been some.",
                    },
                },
            ),
            "memory": answer(
                {
                    "durable": {
                        "type": "boolean",
                        "description": "False: a restart would bring back an older state.",
                    },
                    "fault": {
                        "type": ["string", "null"],
                        "enum": [*(fault.value for fault in DiskFault), None],
                        "description": "What the disk refused, where that is known.",
                    },
                }
            ),
            "users": {
                **answer(
                    {
                        "assigned": by_node(COUNT_OR_UNKNOWN),
                        "served": by_node(COUNT_OR_UNKNOWN),
                        "unassigned": COUNT_OR_UNKNOWN,
                        "placement": PLACEMENT,
                    }
                ),
                "description": "What the database holds is null until it has been opened once "
                "since the node started.",
            },
            "handbook": answer(
                {
                    "row": {
                        "type": ["integer", "null"],
                        "description": "Row of the documented table; null: ours.",
                    },
                    "key": TEXT,
                    "cause": TWO_LANGUAGES,
                    "action": TWO_LANGUAGES,
                }
            ),
            "actions": {
                **listed(answer({"action": _ACTION, "node": TEXT})),
                "description": "The actions that are possible now.",
            },
        },
        optional={
            "mismatch": {
                "type": ["string", "null"],
                "description": "Why the two nodes do not make a pair; null: they do.",
            },
            "mismatch_ja": {"type": ["string", "null"], "description": "The same in Japanese."},
            "notices": {
                **listed(answer({"key": TEXT, "en": TEXT, "ja": TEXT})),
                "description": "What is to be known besides the row: services that are down, a"
                " suspect peer, loss in one direction, a control channel that is not reached,"
                " databases that differ, certificates that end, a state that is not stored, and"
                " mistakes that datagrams point to.",
            },
            "tls": ref("Tls"),
        },
    ),
    "Tls": {
        "type": ["object", "null"],
        "description": "Certificates, when the control port speaks TLS; null: it does not.",
        "properties": {
            "refused": {**COUNT, "description": "Handshakes that failed."},
            "last_refused": {
                "type": ["object", "null"],
                "description": "The last of them: source, why, ago_s.",
            },
            "certificates": listed(
                answer(
                    {
                        "whose": {"type": "string", "enum": ["node", "ca", "peer"]},
                        "at": {"type": "string", "description": "When it ends, ISO 8601."},
                        "days_left": {"type": "number", "description": "Negative: it has ended."},
                        "shown_ago_s": {
                            "type": ["number", "null"],
                            "description": "Of the peer: the age of what is known of it.",
                        },
                    }
                )
            ),
        },
    },
    "User": answer({"user_id": TEXT, "home_node": NAME_OR_NONE, "serving_node": NAME_OR_NONE}),
    "Users": answer(
        {
            "users": listed(ref("User")),
            "next": {"type": ["string", "null"], "description": "`after` of the next page."},
        }
    ),
    "Imported": answer({"detail": TEXT, "added": COUNT, "unchanged": COUNT}),
    "Generated": answer({"detail": TEXT, "added": COUNT}),
    "Deleted": answer({"detail": TEXT, "deleted": COUNT}),
    "Changed": answer({"detail": TEXT, "changed": COUNT}),
    "Topology": answer(
        {
            "nodes": by_node(answer({"assigned": COUNT_OR_UNKNOWN, "served": COUNT_OR_UNKNOWN})),
            "unassigned": COUNT_OR_UNKNOWN,
            "total": COUNT_OR_UNKNOWN,
            "placement": PLACEMENT,
        }
    ),
}
