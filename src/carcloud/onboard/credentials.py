"""A car's credentials: the folder that `carcloud enrol` writes."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from pathlib import Path

from carcloud.errors import InputError, MissingError
from carcloud.vehicle.batch import TOKEN


@dataclass(frozen=True)
class Credentials:
    """Who the car is, and where its zone is."""

    folder: Path
    vehicle: str
    tenant: str
    host: str
    port: int

    @classmethod
    def read(cls, folder: Path) -> Credentials:
        """Read the folder: vehicle.json, vehicle.pem, vehicle.key and ca.pem."""
        for name in ("vehicle.json", "vehicle.pem", "vehicle.key", "ca.pem"):
            if not (folder / name).is_file():
                do = "Give the folder that `carcloud enrol` wrote."
                raise MissingError(f"There is no {name} in {folder}.", do)
        try:
            car = json.loads((folder / "vehicle.json").read_text("utf-8"))
            vehicle, tenant, mqtt = car["id"], car["tenant"], car["mqtt"]
            host, port = mqtt["host"], mqtt["port"]
        except (ValueError, KeyError, TypeError) as error:
            raise _broken(folder, str(error)) from None
        tokens = isinstance(vehicle, str) and isinstance(tenant, str)
        if not (tokens and TOKEN.fullmatch(vehicle) and TOKEN.fullmatch(tenant)):
            raise _broken(folder, "id or tenant is no token")
        if not (isinstance(host, str) and isinstance(port, int)):
            raise _broken(folder, "mqtt has no host and port")
        return cls(folder, vehicle, tenant, host, port)

    def context(self) -> ssl.SSLContext:
        """Return a TLS context with the car's certificate, that trusts the zone's authority only."""
        try:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.folder / "ca.pem")
            context.load_cert_chain(self.folder / "vehicle.pem", self.folder / "vehicle.key")
        except (ssl.SSLError, OSError) as error:
            raise _broken(self.folder, str(error)) from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def _broken(folder: Path, reason: str) -> InputError:
    return InputError(f"The credentials in {folder} are broken: {reason}.", "Have them written anew: carcloud renew.")
