"""The contract of Toxiproxy's API as a table: stories of requests, for any server of it.

`{p}` and `{q}` are free ports, `{busy}` is a port that somebody else listens on.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.body or ''}".strip()


def get(path: str, **headers: str) -> Request:
    return Request("GET", path, headers=headers)


def post(path: str, body: str | None = None) -> Request:
    return Request("POST", path, body)


def patch(path: str, body: str | None = None) -> Request:
    return Request("PATCH", path, body)


def delete(path: str) -> Request:
    return Request("DELETE", path)


P1 = post("/proxies", '{"name":"p1","listen":"127.0.0.1:{p}","upstream":"127.0.0.1:9"}')
T1 = post("/proxies/p1/toxics", '{"type":"latency","attributes":{"latency":100,"jitter":5}}')


def toxic(body: str) -> tuple[Request, ...]:
    return P1, post("/proxies/p1/toxics", body), get("/proxies/p1")


def toxic_change(body: str) -> tuple[Request, ...]:
    change = "/proxies/p1/toxics/latency_downstream"
    return P1, T1, patch(change, body), post(change, body), get(change)


def populate(*bodies: str) -> tuple[Request, ...]:
    return *(post("/populate", body) for body in bodies), get("/proxies")


STORIES: dict[str, tuple[Request, ...]] = {
    "an empty server": (get("/proxies"), post("/reset"), get("/proxies?x=1")),
    "unknown paths": (
        get("/"),
        get("/proxies/"),
        get("/nothing"),
        get("/proxies/p1/toxics/"),
        get("/proxies/p1/x"),
        get("/version/"),
        post("/resets"),
        get("/metrics"),
    ),
    "paths that are not clean": (
        get("//proxies"),
        get("/proxies//p1"),
        get("/proxies/../version"),
        get("/./version"),
    ),
    "wrong methods": (
        Request("PUT", "/proxies"),
        Request("HEAD", "/proxies"),
        Request("OPTIONS", "/version"),
        delete("/proxies"),
        get("/reset"),
        get("/populate"),
        Request("PUT", "/proxies/p1"),
        delete("/proxies/p1/toxics"),
        post("/version"),
    ),
    "browsers": (
        get("/version", User_Agent="Mozilla/5.0 (X11; Linux)"),
        get("/proxies", User_Agent="mozilla/5.0"),
        get("/proxies", User_Agent=""),
        get("/nothing", User_Agent="Mozilla/5.0"),
        Request("POST", "/reset", headers={"User_Agent": "Mozilla/5.0"}),
    ),
    "a proxy comes and goes": (
        P1,
        get("/proxies"),
        get("/proxies/p1"),
        get("/proxies/%70%31"),
        delete("/proxies/p1"),
        delete("/proxies/p1"),
        get("/proxies/p1"),
        get("/proxies"),
    ),
    "many proxies are sorted by name": (
        post("/proxies", '{"name":"z","listen":"127.0.0.1:{p}","upstream":"a:1"}'),
        post("/proxies", '{"name":"a","listen":"127.0.0.1:{q}","upstream":"b:1"}'),
        get("/proxies"),
    ),
    "missing fields": (
        post("/proxies", "{}"),
        post("/proxies", "null"),
        post("/proxies", '{"name":"p1"}'),
        post("/proxies", '{"upstream":"a:1"}'),
        post("/proxies", '{"name":"","upstream":"a:1"}'),
        post("/proxies", '{"name":"p1","upstream":""}'),
        post("/proxies", '{"name":null,"upstream":null}'),
    ),
    "bodies that are no JSON": (
        post("/proxies", ""),
        post("/proxies", "  \n"),
        post("/proxies", "{"),
        post("/proxies", '{"name":'),
        post("/proxies", '{"name":"p1"'),
        post("/proxies", '{"name":"p'),
        post("/proxies", "x"),
        post("/proxies", "[1"),
        post("/proxies", "nul"),
        post("/proxies", "NaN"),
        post("/proxies", '{"name":}'),
        post("/proxies", "{1:2}"),
    ),
    "bodies of the wrong type": (
        post("/proxies", "[]"),
        post("/proxies", '"p1"'),
        post("/proxies", "7"),
        post("/proxies", "true"),
        post("/proxies", '{"name":7,"upstream":"a:1"}'),
        post("/proxies", '{"name":"p1","upstream":["a:1"]}'),
        post("/proxies", '{"name":"p1","upstream":"a:1","enabled":"yes"}'),
        post("/proxies", '{"name":"p1","upstream":"a:1","enabled":1}'),
        post("/proxies", '{"name":"p1","upstream":"a:1","listen":8080}'),
    ),
    "sloppy bodies that are taken": (
        post("/proxies", '{"NAME":"p1","Upstream":"a:1","lISTEN":"127.0.0.1:{p}"} trailing'),
        post("/proxies", ' {"name":"p2","upstream":"a:1","enabled":null,"listen":"127.0.0.1:{q}"}'),
        get("/proxies"),
    ),
    "a proxy that exists": (
        P1,
        post("/proxies", '{"name":"p1","listen":"127.0.0.1:{q}","upstream":"a:1"}'),
        post("/proxies", '{"name":"p1","listen":"nonsense","upstream":"a:1"}'),
        get("/proxies/p1"),
    ),
    "listen addresses that cannot be had": (
        post("/proxies", '{"name":"p1","listen":"127.0.0.1:{busy}","upstream":"a:1"}'),
        post("/proxies", '{"name":"p1","listen":"local373","upstream":"a:1"}'),
        post("/proxies", '{"name":"p1","listen":"1.2.3.4:1:2","upstream":"a:1"}'),
        post("/proxies", '{"name":"p1","listen":":99999","upstream":"a:1"}'),
        post("/proxies", '{"name":"p1","listen":"127.0.0.1:nonsense","upstream":"a:1"}'),
        post("/proxies", '{"name":"p1","listen":"192.0.2.1:1","upstream":"a:1"}'),
        post("/proxies", '{"name":"p1","listen":"[::1]","upstream":"a:1"}'),
        get("/proxies"),
    ),
    "how listen addresses are shown": (
        post("/proxies", '{"name":"a","listen":"localhost:{p}","upstream":"a:1"}'),
        post("/proxies", '{"name":"b","upstream":"a:1"}'),
        post("/proxies", '{"name":"c","listen":":0","upstream":"a:1"}'),
        post("/proxies", '{"name":"d","listen":"127.0.0.1:0","upstream":"a:1"}'),
        post("/proxies", '{"name":"f","listen":"localhost:1","upstream":"a:1","enabled":false}'),
        post("/proxies", '{"name":"g","listen":"nonsense","upstream":"a:1","enabled":false}'),
    ),
    "signs that HTML knows": (
        post(
            "/proxies",
            '{"name":"<&>","listen":"127.0.0.1:{p}","upstream":"ü\\u2028\\ud800","enabled":false}',
        ),
        get("/proxies"),
    ),
    "a proxy is disabled and enabled": (
        P1,
        post("/proxies/p1", '{"enabled":false}'),
        get("/proxies/p1"),
        post("/proxies/p1", '{"enabled":false}'),
        patch("/proxies/p1", '{"enabled":true}'),
        patch("/proxies/p1", "{}"),
        patch("/proxies/p1", "null"),
        patch("/proxies/p1", '{"enabled":null}'),
    ),
    "a proxy is moved": (
        P1,
        T1,
        patch("/proxies/p1", '{"listen":"127.0.0.1:{q}"}'),
        patch("/proxies/p1", '{"upstream":"b:2"}'),
        patch("/proxies/p1", '{"upstream":""}'),
        patch("/proxies/p1", '{"name":"other"}'),
        patch("/proxies/p1", '{"enabled":false,"listen":"localhost:{p}"}'),
        patch("/proxies/p1", '{"enabled":true}'),
        get("/proxies"),
    ),
    "a change that is no change": (
        P1,
        post("/proxies/p1", '{"name":"p1","listen":"localhost:{p}","upstream":"127.0.0.1:9"}'),
        post("/proxies/p1", '{"listen":"127.0.0.1:{p}","enabled":true,"toxics":null}'),
    ),
    "changes that are refused": (
        P1,
        patch("/proxies/p1", ""),
        patch("/proxies/p1", "{"),
        patch("/proxies/p1", '{"enabled":"no"}'),
        patch("/proxies/p1", '{"listen":"nonsense"}'),
        patch("/proxies/p1", '{"listen":":99999"}'),
        patch("/proxies/other", "{"),
        get("/proxies/p1"),
    ),
    "toxics of a new proxy are ignored": (
        post(
            "/proxies",
            '{"name":"p1","listen":"127.0.0.1:{p}","upstream":"127.0.0.1:9","toxics":'
            '[{"type":"latency","attributes":{"latency":45}}]}',
        ),
        get("/proxies/p1/toxics"),
        *populate(
            '[{"name":"p2","listen":"127.0.0.1:{q}","upstream":"127.0.0.1:9","toxics":'
            '[{"type":"latency"}]}]'
        ),
    ),
    "two proxies of one name": populate(
        '[{"name":"p1","listen":"127.0.0.1:{p}","upstream":"127.0.0.1:9"},'
        '{"name":"p1","listen":"127.0.0.1:{q}","upstream":"127.0.0.1:8"}]'
    ),
    "all addresses of IPv6": (
        post("/proxies", '{"name":"p1","listen":"[::]:{p}","upstream":"127.0.0.1:9"}'),
        get("/proxies"),
    ),
    "toxics of a missing proxy": (
        get("/proxies/p1/toxics"),
        post("/proxies/p1/toxics", "{"),
        get("/proxies/p1/toxics/t"),
        patch("/proxies/p1/toxics/t", "{"),
        delete("/proxies/p1/toxics/t"),
    ),
    "missing toxics": (
        P1,
        get("/proxies/p1/toxics"),
        get("/proxies/p1/toxics/t"),
        patch("/proxies/p1/toxics/t", "{"),
        delete("/proxies/p1/toxics/t"),
    ),
    "a toxic comes and goes": (
        P1,
        T1,
        get("/proxies/p1/toxics"),
        get("/proxies/p1/toxics/latency_downstream"),
        get("/proxies/p1"),
        get("/proxies"),
        delete("/proxies/p1/toxics/latency_downstream"),
        delete("/proxies/p1/toxics/latency_downstream"),
        get("/proxies/p1/toxics"),
    ),
    "toxics that are no JSON": (
        P1,
        *(
            post("/proxies/p1/toxics", body)
            for body in ("", "{", "[]", "7", '{"type":7}', '{"stream":true}', '{"toxicity":"1"}')
        ),
    ),
    "streams": (
        P1,
        post("/proxies/p1/toxics", '{"type":"latency","stream":"UPstream"}'),
        post("/proxies/p1/toxics", '{"type":"latency","stream":null}'),
        post("/proxies/p1/toxics", '{"type":"latency","stream":""}'),
        post("/proxies/p1/toxics", '{"type":"latency","stream":"sideways"}'),
        post("/proxies/p1/toxics", '{"type":"nothing","stream":"sideways"}'),
        get("/proxies/p1/toxics"),
    ),
    "types": (
        P1,
        post("/proxies/p1/toxics", "{}"),
        post("/proxies/p1/toxics", '{"type":""}'),
        post("/proxies/p1/toxics", '{"type":"Latency"}'),
        post("/proxies/p1/toxics", '{"type":"nothing"}'),
        post("/proxies/p1/toxics", "null"),
    ),
    "names of toxics": (
        P1,
        T1,
        T1,
        post("/proxies/p1/toxics", '{"type":"bandwidth","name":"latency_downstream"}'),
        post(
            "/proxies/p1/toxics",
            '{"type":"bandwidth","stream":"upstream","name":"latency_downstream"}',
        ),
        post("/proxies/p1/toxics", '{"type":"latency","stream":"upstream"}'),
        post("/proxies/p1/toxics", '{"type":"latency","name":""}'),
        post("/proxies/p1/toxics", '{"type":"timeout","name":"mine"}'),
        get("/proxies/p1/toxics/mine"),
    ),
    "order of toxics": (
        P1,
        post("/proxies/p1/toxics", '{"type":"latency","name":"d1"}'),
        post("/proxies/p1/toxics", '{"type":"latency","name":"u1","stream":"upstream"}'),
        post("/proxies/p1/toxics", '{"type":"latency","name":"d2"}'),
        post("/proxies/p1/toxics", '{"type":"latency","name":"u2","stream":"upstream"}'),
        delete("/proxies/p1/toxics/d1"),
        get("/proxies/p1/toxics"),
        get("/proxies/p1"),
    ),
    "toxicity": (
        P1,
        *(
            post("/proxies/p1/toxics", f'{{"type":"noop","name":"t{i}","toxicity":{value}}}')
            for i, value in enumerate(
                ("0.2", "1", "0", "0.333333333333", "7", "-3", "null", "1e-3", "0.1e1", "1e99")
            )
        ),
    ),
    "latency": toxic('{"type":"latency","attributes":{"latency":100,"jitter":10}}'),
    "bandwidth": toxic('{"type":"bandwidth","attributes":{"rate":100}}'),
    "slow_close": toxic('{"type":"slow_close","attributes":{"delay":100}}'),
    "timeout": toxic('{"type":"timeout","attributes":{"timeout":100}}'),
    "reset_peer": toxic('{"type":"reset_peer","attributes":{"timeout":100}}'),
    "limit_data": toxic('{"type":"limit_data","attributes":{"bytes":100}}'),
    "noop": toxic('{"type":"noop","attributes":{"anything":100}}'),
    "slicer": toxic(
        '{"type":"slicer","attributes":{"average_size":10,"size_variation":5,"delay":100}}'
    ),
    "attributes are filled with zeros": (
        P1,
        *(
            post("/proxies/p1/toxics", f'{{"type":"{name}"}}')
            for name in (
                "latency",
                "bandwidth",
                "slow_close",
                "timeout",
                "reset_peer",
                "limit_data",
                "noop",
                "slicer",
            )
        ),
    ),
    "attributes that are taken": (
        P1,
        *(
            post("/proxies/p1/toxics", f'{{"type":"latency","name":"t{i}","attributes":{value}}}')
            for i, value in enumerate(
                ('{"LATENCY":5}', '{"latency":null}', "null", '{"latency":-7}', '{"other":[1]}')
            )
        ),
    ),
    "attributes that are refused": (
        P1,
        *(
            post("/proxies/p1/toxics", f'{{"type":"latency","attributes":{value}}}')
            for value in (
                "[]",
                '"x"',
                "7",
                '{"latency":1.5}',
                '{"latency":1000.0}',
                '{"latency":1e3}',
                '{"latency":"100"}',
                '{"latency":true}',
                '{"latency":99999999999999999999}',
                '{"latency":{}}',
            )
        ),
        get("/proxies/p1/toxics"),
    ),
    "a toxic is changed": toxic_change('{"attributes":{"latency":7},"toxicity":0.5}'),
    "one attribute is changed": toxic_change('{"attributes":{"jitter":0}}'),
    "only toxicity is changed": toxic_change('{"toxicity":0}'),
    "nothing is changed": toxic_change("{}"),
    "a change that names other things": toxic_change(
        '{"name":"x","type":"timeout","stream":"upstream","other":1}'
    ),
    "a change with null": toxic_change('{"attributes":null,"toxicity":null}'),
    "toxic changes that are refused": (
        P1,
        T1,
        *(
            patch("/proxies/p1/toxics/latency_downstream", body)
            for body in ("", "{", "[]", '{"attributes":{"latency":1.5}}', '{"toxicity":"x"}')
        ),
        get("/proxies/p1/toxics/latency_downstream"),
    ),
    "reset": (
        P1,
        T1,
        patch("/proxies/p1", '{"enabled":false}'),
        Request("POST", "/reset", "{{{"),
        get("/proxies"),
    ),
    "populate": populate(
        '[{"name":"a","listen":"127.0.0.1:{p}","upstream":"u:1"},'
        '{"name":"b","listen":"127.0.0.1:{q}","upstream":"u:2","enabled":false}]'
    ),
    "populate nothing": populate("[]", "null"),
    "populate with toxics, which are ignored": populate(
        '[{"name":"a","listen":"127.0.0.1:{p}","upstream":"u:1","toxics":[{"type":"latency"}]}]'
    ),
    "populate keeps what is the same": (
        P1,
        T1,
        post(
            "/populate",
            '[{"name":"p1","listen":"localhost:{p}","upstream":"127.0.0.1:9","enabled":false}]',
        ),
        get("/proxies"),
    ),
    "populate replaces what differs": (
        P1,
        T1,
        post("/populate", '[{"name":"p1","listen":"127.0.0.1:{p}","upstream":"other:1"}]'),
        get("/proxies"),
        post("/populate", '[{"name":"p1","listen":"127.0.0.1:{q}","upstream":"other:1"}]'),
        get("/proxies"),
    ),
    "populate the same name twice": populate(
        '[{"name":"a","listen":"127.0.0.1:{p}","upstream":"u:1"},'
        '{"name":"a","listen":"127.0.0.1:{q}","upstream":"u:2"}]'
    ),
    "populate with missing fields": populate(
        '[{"name":"a","listen":"127.0.0.1:{p}","upstream":"u:1"},{"name":"b"}]',
        '[{"name":"a","listen":"127.0.0.1:{p}","upstream":"u:1"},{"upstream":"b:1"}]',
        "[{}]",
        "[null]",
    ),
    "populate stops at the first port that is taken": populate(
        '[{"name":"a","listen":"127.0.0.1:{p}","upstream":"u:1"},'
        '{"name":"b","listen":"127.0.0.1:{busy}","upstream":"u:1"},'
        '{"name":"c","listen":"127.0.0.1:{q}","upstream":"u:1"}]',
        '[{"name":"x","listen":"nonsense","upstream":"u:1"}]',
    ),
    "populate with bad bodies": populate("", "{}", "[1]", "[", '[{"name":7}]', '"x"'),
}
