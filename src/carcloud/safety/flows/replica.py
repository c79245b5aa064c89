"""What comes in from another zone: a flow of that zone that this one reads into its own stream, declared in its file.

Rules:
* A token and people's data travel over TLS, or within one machine.
* The file names where the token lies; the token itself stands nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from carcloud.safety.flows.checks import known, need, whole
from carcloud.safety.governance.policy import NAME
from carcloud.vehicle.batch import TOKEN

LOOPBACK = ("localhost", "127.0.0.1", "::1")
LIMIT_REPLICAS = 32
LIMIT_URL = 256
LIMIT_PATH = 1024
LEAST_S, MOST_S, EVERY_S = 1, 86_400, 60
_KEYS = {"from", "flow", "token_file", "ca", "tenant", "every"}


@dataclass(frozen=True)
class Replica:
    """One flow of another zone that this zone takes in.

    url: the other zone's address. flow: its name there. token_file: a file of one's own with the token.
    ca: the authority of the other zone's certificate; "": those the system trusts.
    tenant: whose cars they become; "": the zone's own. every_s: how often it is asked once all is read.
    """

    name: str
    url: str
    flow: str
    token_file: str
    ca: str = ""
    tenant: str = ""
    every_s: int = EVERY_S


def parse_replicas(entries: Any) -> Iterator[Replica]:
    """Read the part `replicas` of a flows file; raise InputError."""
    fits = isinstance(entries, dict) and len(entries) <= LIMIT_REPLICAS
    need(fits, "replicas", f"must name at most {LIMIT_REPLICAS}", "Write {from: …, flow: …, token_file: …} after each.")
    for name, entry in entries.items():
        where = f"replica {str(name)[:64]!r}"
        fits = isinstance(name, str) and NAME.fullmatch(name) is not None
        need(fits, where, "has no proper name", "Use small letters, digits and -, at most 64.")
        need(isinstance(entry, dict), where, "is not described", "Write {from: …, flow: …, token_file: …} after it.")
        known(entry, _KEYS, where)
        yield _replica(name, entry, where)


def safe(url: str) -> bool:
    """Tell whether a token may travel to an address: by TLS, or within this machine."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 (it raises where there is none)
    except ValueError:
        return False
    bare = parts.username is None and not parts.query and not parts.fragment
    return bare and bool(parts.hostname) and (parts.scheme == "https" or _local(parts.scheme, parts.hostname))


def _local(scheme: str, host: str | None) -> bool:
    return scheme == "http" and host in LOOPBACK


def _replica(name: str, entry: Mapping[str, Any], where: str) -> Replica:
    url, flow = entry.get("from"), entry.get("flow")
    fits = isinstance(url, str) and len(url) <= LIMIT_URL and safe(url)
    do = "Give the other zone's address in `from`: with https, or http on this machine; no name or secret in it."
    need(fits, where, "does not say from where, or not safely", do)
    fits = isinstance(flow, str) and NAME.fullmatch(flow) is not None
    need(fits, where, "does not say by which flow", "Give its name in the other zone in `flow`.")
    token_file, ca = entry.get("token_file"), entry.get("ca", "")
    fits = isinstance(token_file, str) and 0 < len(token_file) <= LIMIT_PATH
    need(fits, where, "does not say where its token lies", "Write the token to a file of your own; name it here.")
    need(isinstance(ca, str) and len(ca) <= LIMIT_PATH, where, "has a `ca` that is no path", "Give a PEM file's path.")
    tenant, every = entry.get("tenant", ""), entry.get("every", EVERY_S)
    fits = tenant == "" or (isinstance(tenant, str) and TOKEN.fullmatch(tenant) is not None)
    need(fits, where, "has a `tenant` that is no name", "Use 1 to 64 letters, digits, _ and -.")
    fits = whole(every) and LEAST_S <= every <= MOST_S
    need(fits, where, "has an `every` that is no number of seconds", f"Give {LEAST_S} to {MOST_S}.")
    return Replica(name, str(url).rstrip("/"), str(flow), str(token_file), ca, tenant, every)
