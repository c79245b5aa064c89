"""A car's credentials: the folder that `carcloud enrol` or `carcloud join` writes.

Rules:
* A renewed pair lies whole in one file until it is in the place of the old one: whoever reads finishes that first.
"""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from carcloud.errors import InputError, MissingError
from carcloud.safety.keys import RENEWED, write_files
from carcloud.vehicle.batch import TOKEN

FILES = ("vehicle.json", "vehicle.pem", "vehicle.key", "ca.pem")


@dataclass(frozen=True)
class Credentials:
    """Who the car is, and where its zone is."""

    folder: Path
    vehicle: str
    tenant: str
    host: str
    port: int
    https: str

    @classmethod
    def read(cls, folder: Path) -> Credentials:
        """Read the folder: vehicle.json, vehicle.pem, vehicle.key and ca.pem."""
        settle(folder)
        for name in FILES:
            if not (folder / name).is_file():
                do = "Give the folder that `carcloud enrol` or `carcloud join` wrote."
                raise MissingError(f"There is no {name} in {folder}.", do)
        try:
            car = json.loads((folder / "vehicle.json").read_text("utf-8"))
            vehicle, tenant, mqtt = car["id"], car["tenant"], car["mqtt"]
            host, port, https = mqtt["host"], mqtt["port"], car.get("https", {}).get("url", "")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _broken(folder, str(error)) from None
        tokens = isinstance(vehicle, str) and isinstance(tenant, str)
        if not (tokens and TOKEN.fullmatch(vehicle) and TOKEN.fullmatch(tenant)):
            raise _broken(folder, "id or tenant is no token")
        if not (isinstance(host, str) and isinstance(port, int) and isinstance(https, str)):
            raise _broken(folder, "mqtt has no host and port, or https no url")
        return cls(folder, vehicle, tenant, host, port, https)

    def certificate(self) -> x509.Certificate:
        """Return the car's certificate, without its chain."""
        try:
            return x509.load_pem_x509_certificate((self.folder / "vehicle.pem").read_bytes())
        except (ValueError, OSError) as error:
            raise _broken(self.folder, str(error)) from None

    def context(self) -> ssl.SSLContext:
        """Return a TLS context with the car's certificate, that trusts the zone's authority only."""
        try:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.folder / "ca.pem")
            context.load_cert_chain(self.folder / "vehicle.pem", self.folder / "vehicle.key")
        except (ssl.SSLError, OSError) as error:
            raise _broken(self.folder, str(error)) from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def settle(folder: Path) -> None:
    """Put a renewed pair into the place of the old one, where that is still to be done."""
    try:
        whole = json.loads((folder / RENEWED).read_text("utf-8"))
        contents = {folder / name: whole[name].encode() for name in FILES}
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _broken(folder, str(error)) from None
    write_files(contents, {path: 0o644 for path in contents if path.name != "vehicle.key"})
    (folder / RENEWED).unlink(missing_ok=True)


def _broken(folder: Path, reason: str) -> InputError:
    return InputError(f"The credentials in {folder} are broken: {reason}.", "Have them written anew: carcloud renew.")
