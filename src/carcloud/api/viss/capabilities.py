"""What this server can do, as VISS tells it: a small tree of its own beside the car's, `Server`, for reading only.

- It says what is offered, and an empty list of what is not. The port is the one the API listens on.
- It is the same for each car, but stands behind the same token as the car does.

Source: COVESA VISS version 3.1, Core, appendix Server Capabilities (server tree, naming).
"""

from collections.abc import Mapping

from carcloud.api.ports import Last
from carcloud.api.viss.filters import EVENTS
from carcloud.vehicle.catalogue import Signal

ROOT = "Server"
PROTOCOLS = ("http", "ws")
FILTERS = ("paths", *EVENTS, "metadata")
LISTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "Protocol": ("The transports by which a client may come.", PROTOCOLS),
    "Security": ("Access control and consent as VISS has them: tokens of the zone stand in their place.", ()),
    "Filter": ("The filters of requests.", FILTERS),
    "Encoding": ("Encodings of messages other than JSON.", ()),
    "Filetransfer": ("Ways to send files.", ()),
    "DataCompression": ("Ways to make answers smaller.", ()),
}
PORTS: Mapping[str, str] = {"Http": "HTTP", "Websocket": "WebSocket"}


def _port(name: str) -> str:
    return f"{ROOT}.Config.Protocol.{name}.Primary.PortNum"


SIGNALS: Mapping[str, Signal] = {
    one.path: one
    for one in (
        *(
            Signal(f"{ROOT}.Support.{name}", "string[]", kind="attribute", description=text)
            for name, (text, _) in LISTS.items()
        ),
        *(
            Signal(_port(name), "uint32", kind="attribute", description=f"The port for {spelt}.")
            for name, spelt in PORTS.items()
        ),
    )
}
"""The leaves of the tree, by path."""


def values(port: int, time_us: int) -> dict[str, Last]:
    """Return what the tree says. `port`: where the API listens."""
    said: dict[str, list[str] | int] = {f"{ROOT}.Support.{name}": list(listed) for name, (_, listed) in LISTS.items()}
    said |= {_port(name): port for name in PORTS}
    return {path: Last(value, time_us, "") for path, value in said.items()}
