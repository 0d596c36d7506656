"""toxiproxy-python, unchanged, against the server whose port is given as the first argument.

A process of its own: the package keeps its endpoint in a global.  With `udp` as the second argument
the proxy `heartbeats` is there already, and is driven like any other.
"""

from __future__ import annotations

import sys

from toxiproxy import Toxiproxy
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists


def refused_as(kind: type[Exception], call: object, *args: object, **more: object) -> bool:
    assert callable(call)
    try:
        call(*args, **more)
    except kind:
        return True
    return False


def drive(toxiproxy: Toxiproxy, name: str) -> None:
    """What the package can do with a proxy, read back after each step."""
    proxy = toxiproxy.get_proxy(name)
    assert proxy.enabled
    proxy.add_toxic(type="latency", attributes={"latency": 10, "jitter": 2})
    proxy.add_toxic(type="timeout", name="hole", stream="upstream", toxicity=0.5)
    assert set(proxy.toxics()) == {"latency_downstream", "hole"}
    assert proxy.get_toxic("hole").toxicity == 0.5
    assert proxy.get_toxic("latency_downstream").attributes["latency"] == 10
    assert refused_as(InvalidToxic, proxy.add_toxic, type="nonsense")
    assert refused_as(ProxyExists, proxy.add_toxic, type="latency")
    assert proxy.destroy_toxic("hole")
    assert refused_as(NotFound, proxy.destroy_toxic, "hole")
    with proxy.down():
        assert not toxiproxy.get_proxy(name).enabled
    assert toxiproxy.get_proxy(name).enabled
    proxy.disable()
    assert toxiproxy.reset()
    again = toxiproxy.get_proxy(name)
    assert again.enabled
    assert again.toxics() == {}


def main(port: int, protocol: str) -> None:
    toxiproxy = Toxiproxy()
    toxiproxy.update_api_consumer("127.0.0.1", port)
    assert toxiproxy.running()
    assert toxiproxy.version() == b'{"version": "2.13.0"}\n'
    name = "heartbeats"
    if protocol == "tcp":
        toxiproxy.create("127.0.0.1:9", name)
        assert refused_as(ProxyExists, toxiproxy.create, "127.0.0.1:9", name)
    drive(toxiproxy, name)
    listen = toxiproxy.get_proxy(name).listen
    wanted = [
        {"name": name, "upstream": "127.0.0.1:9", "listen": listen},
        {"name": "more", "upstream": "127.0.0.1:9", "listen": "127.0.0.1:0"},
    ]
    assert [proxy.name for proxy in toxiproxy.populate(wanted)] == ["more"]
    toxiproxy.destroy_all()
    assert toxiproxy.proxies() == {}
    print("all is well")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
