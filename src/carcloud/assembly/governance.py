"""Taking a governance into force: a version, kept for ever, and an act in the audit log.

What is in force is a file in the zone's folder; the records know its hash, so that nobody changes it in silence.
"""

from __future__ import annotations

from carcloud.assembly.context import Context
from carcloud.backends.files import write_flushed
from carcloud.backends.records import Entry, Records
from carcloud.errors import ConflictError
from carcloud.safety.governance.policy import Policy
from carcloud.safety.governance.table import Table
from carcloud.settings import Folder, Settings, governance_in_force, load_governance
from carcloud.vehicle.catalogue import Catalogue

IN_FORCE = "governance"


def take_governance(settings: Settings, folder: Folder, records: Records, catalogue: Catalogue) -> str:
    """Take the governance that the settings ask for into force, where another is; return a sentence on it, or nothing.

    Raises:
        MissingError: there is no such governance.
        InputError: it is none, or does not fit the catalogue; the one in force stays.
    """
    wanted = load_governance(settings)
    Table(wanted, catalogue)
    before = governance_in_force(settings, folder).hash if folder.governance.exists() else None
    if before == wanted.hash == records.get_meta(IN_FORCE):
        return ""
    history = folder.path / "governance"
    history.mkdir(mode=0o700, exist_ok=True)
    write_flushed(history / f"{wanted.hash}.yaml", wanted.text.encode())
    facts = {"name": wanted.name, "from": before, "to": wanted.hash}
    records.audit.add(Entry("machine", "changeGovernance", "zone", facts=facts, tenant=settings.tenant))
    write_flushed(folder.governance, wanted.text.encode())
    records.put_meta(IN_FORCE, wanted.hash)
    return f"The governance {wanted.name} is in force now." if before else ""


def governance_of(context: Context, records: Records) -> Policy:
    """Return the governance in force. Raise ConflictError where the file is not the one the zone took."""
    policy = governance_in_force(context.settings, context.folder)
    if policy.hash != records.get_meta(IN_FORCE):
        do = "Find out who changed it. `carcloud up` takes the governance of its configuration again, and notes it."
        raise ConflictError(f"{context.folder.governance} is not the governance that the zone took.", do)
    return policy
