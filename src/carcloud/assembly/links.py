"""One-time links into the console, made beside the zone."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

from carcloud.assembly.records import open_records
from carcloud.assembly.zonefile import ZoneFile
from carcloud.errors import ConflictError, MissingError
from carcloud.safety.people.accounts import LINK_LASTS, first_person, make_link
from carcloud.safety.people.register import MACHINE
from carcloud.settings import Folder, Settings

DEMO_LINK_LASTS = timedelta(hours=24)


def console_link(
    settings: Settings, folder: Folder, zone: ZoneFile, login: str = "", lasts: timedelta = LINK_LASTS
) -> str:
    """Return an address that signs in once as the person of this login, or as the local administrator.

    Raises:
        MissingError: nobody has this login. ConflictError: the person is suspended.
    """
    now = datetime.now(UTC)
    with contextlib.closing(open_records(settings, folder)) as records:
        person = records.people.by_login(login) if login else None
        if login and person is None:
            raise MissingError(f"Nobody has the login {login!r}.", "List everybody with `carcloud person list`.")
        person = person or records.people.get(first_person(records, settings.tenant, now))
        if person.state != "active":
            raise ConflictError(f"{person.login} is suspended.", "Name another with --person, or let them in again.")
        return zone.console(make_link(records, person.id, MACHINE, now, lasts))
