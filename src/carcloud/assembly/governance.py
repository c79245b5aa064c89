"""Taking a governance into force: a version, kept for ever, and an act in the audit log.

What is in force is a file in the zone's folder; the records know its hash, so that nobody changes it in silence.
"""

from __future__ import annotations

import contextlib

from carcloud.assembly.context import Context
from carcloud.backends.files import write_flushed
from carcloud.backends.records import Entry, Records
from carcloud.errors import ConflictError, InputError
from carcloud.safety.governance.policy import Policy, pack, packs, parse
from carcloud.safety.governance.table import Table
from carcloud.safety.people.approvals import Approvals
from carcloud.safety.people.policy import Policies
from carcloud.settings import Folder, Settings, governance_in_force, load_governance
from carcloud.vehicle.catalogue import Catalogue

IN_FORCE = "governance"
UNREADABLE = "unreadable"


def take_governance(
    settings: Settings, folder: Folder, records: Records, catalogue: Catalogue, policies: Policies
) -> str:
    """Take the governance that the settings ask for into force, where another is; return a sentence on it, or nothing.

    Rules:
    * Where the settings name none, the one that the zone took stays, whatever became of its file.
    * Where two people of the zone could decide a change together, a start does not decide it: the one in force stays.
    * The file comes first: until the records know its hash, nothing runs under it.

    Raises:
        MissingError: there is no such governance.
        InputError: it is none, or does not fit the catalogue; the one in force stays.
        ConflictError: the settings name none, and the one that the zone took is gone.
    """
    before, known = _hash_of_file(folder), records.get_meta(IN_FORCE)
    wanted = load_governance(settings) if settings.governance else _standing(settings, folder, before, known)
    Table(wanted, catalogue)
    if before == wanted.hash == known:
        return ""
    if (
        known not in (None, wanted.hash)
        and Approvals(records, policies).deciders("changeGovernance", settings.tenant) > 1
    ):
        wanted, asked = _standing(settings, folder, before, known), wanted
        if before == known:
            return _undecided(asked, wanted)
    _write(folder, wanted)
    facts = {"name": wanted.name, "from": known if before in (None, wanted.hash) else before, "to": wanted.hash}
    if facts["from"] != wanted.hash:  # else only the file was gone
        records.audit.add(Entry("machine", "changeGovernance", "zone", facts=facts, tenant=settings.tenant))
    records.put_meta(IN_FORCE, wanted.hash)
    return f"The governance {wanted.name} is in force now." if before or known else ""


def change_governance(
    folder: Folder, records: Records, catalogue: Catalogue, wanted: Policy, actor: str, tenant: str
) -> None:
    """Take a governance that two people decided on into force; the zone's processes start anew under it.

    Raises:
        InputError: it does not fit the catalogue; the one in force stays.
    """
    Table(wanted, catalogue)
    known = records.get_meta(IN_FORCE)
    _write(folder, wanted)
    facts = {"name": wanted.name, "from": known, "to": wanted.hash}
    records.audit.add(Entry(actor, "changeGovernance", "zone", facts=facts, tenant=tenant))
    records.put_meta(IN_FORCE, wanted.hash)


def _undecided(asked: Policy, standing: Policy) -> str:
    return (
        f"The configuration asks for the governance {asked.name}; {standing.name} stays in force until two people "
        "decide on the change in the console, under Governance."
    )


def _write(folder: Folder, wanted: Policy) -> None:
    history = folder.path / "governance"
    history.mkdir(mode=0o700, exist_ok=True)
    write_flushed(history / f"{wanted.hash}.yaml", wanted.text.encode())
    write_flushed(folder.governance, wanted.text.encode())


def _standing(settings: Settings, folder: Folder, before: str | None, known: str | None) -> Policy:
    """Return the governance that the zone took, from its file or the versions it keeps; a new zone's where none."""
    if before is None and known is None:
        return load_governance(settings)
    if before != UNREADABLE and known in (None, before):
        return governance_in_force(settings, folder)
    kept = _kept(folder, known) if known else None
    if kept is None:
        do = "Name the governance in the configuration, and start with --config."
        raise ConflictError(f"{folder.governance} is not the governance that the zone took, which is gone.", do)
    return kept


def _kept(folder: Folder, known: str) -> Policy | None:
    """Return the version of this hash, from the zone's folder or of those that come with carcloud."""
    file = folder.path / "governance" / f"{known}.yaml"
    with contextlib.suppress(OSError, InputError):
        if (found := parse(file.read_bytes(), file.name)).hash == known:
            return found
    return next((found for found in map(pack, packs()) if found and found.hash == known), None)


def _hash_of_file(folder: Folder) -> str | None:
    """Return the hash of the file in force, UNREADABLE where it is no governance file; None where there is none."""
    try:
        return parse(folder.governance.read_bytes(), folder.governance.name).hash
    except FileNotFoundError:
        return None
    except InputError:
        return UNREADABLE


def governance_of(context: Context, records: Records) -> Policy:
    """Return the governance in force. Raise ConflictError where the file is not the one the zone took."""
    policy = governance_in_force(context.settings, context.folder)
    if policy.hash != records.get_meta(IN_FORCE):
        do = "Find out who changed it. `carcloud up` takes the governance of its configuration again, and notes it."
        raise ConflictError(f"{context.folder.governance} is not the governance that the zone took.", do)
    return policy
