"""How terminals that speak GB/T 32960 come in. Light, since every process reads the settings."""

from __future__ import annotations

from dataclasses import dataclass

from carcloud.errors import InputError

LEAST: dict[str, float] = {"idle_s": 45, "sessions": 10, "frames_per_s": 1, "frame_bytes": 1024}
"""Beneath these no terminal could be served: the standard lets one be silent for 30 seconds."""


@dataclass(frozen=True)
class Gbt32960Settings:
    """The door for GB/T 32960. A port of 0: not there; `listen.host` says on which address.

    `port`: without encryption, as most terminals speak. `tls_port`: under the zone's server certificate;
    `tls_clients`: it lets in only who shows a certificate of the zone's vehicle authority, each for its own car.
    `idle_s`: a connection that says nothing for so long is closed. `sessions`: connections at once.
    `frames_per_s`: of one car; a connection that has sent so many for each of its cars is read on in the next second.
    `frame_bytes`: the longest frame that is read; the standard's own limit is 65,556.
    `signatures`: take reports of the 2025 edition only where they are signed by the key the terminal activated with.
    """

    port: int = 0
    tls_port: int = 0
    tls_clients: bool = False
    idle_s: float = 90.0
    sessions: int = 10_000
    frames_per_s: int = 200
    frame_bytes: int = 65_556
    signatures: bool = False

    def __post_init__(self) -> None:
        """Refuse what could serve nobody, or would not do what it says."""
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}.", f"Give {least} or more.")
        if self.tls_clients and not self.tls_port:
            raise InputError("tls_clients asks nobody without TLS.", "Give a tls_port too.")

    @property
    def on(self) -> bool:
        """Tell whether the door is there at all."""
        return bool(self.port or self.tls_port)
