"""A toxic in its place: which way it works, how often, and how the API shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from srmd.lab.faultproxy.body import shortest_float32
from srmd.lab.faultproxy.toxic import Toxic


class Direction(Enum):
    """Which way traffic goes, seen from the client."""

    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"


@dataclass(slots=True)
class Placement:
    """A toxic of a proxy, as the API knows it."""

    name: str
    type: str
    stream: str
    """The direction as it was typed: clients get back what they sent."""
    direction: Direction
    toxicity: float
    """Chance that it works at all: for each datagram, or once for a connection."""
    toxic: Toxic
    effective: bool = True
    """False: it means nothing for this protocol, and a lenient server took it all the same."""

    def shown(self) -> dict[str, object]:
        """The toxic object of the API, keys in Toxiproxy's order."""
        fields: dict[str, object] = {
            "attributes": self.toxic.attributes(),
            "name": self.name,
            "type": self.type,
            "stream": self.stream,
            "toxicity": shortest_float32(self.toxicity),
        }
        return fields if self.effective else {**fields, "effective": False}
