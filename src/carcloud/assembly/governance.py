"""Taking a governance into force: a version, kept for ever, and an act in the audit log."""

from __future__ import annotations

from carcloud.backends.files import write_flushed
from carcloud.backends.records import Entry, Records
from carcloud.safety.governance.table import Table
from carcloud.settings import Folder, Settings, governance_in_force, load_governance
from carcloud.vehicle.catalogue import Catalogue


def take_governance(settings: Settings, folder: Folder, records: Records, catalogue: Catalogue) -> str:
    """Take the governance that the settings ask for into force, where another is; return a sentence on it, or nothing.

    Raises:
        MissingError: there is no such governance.
        InputError: it is none, or does not fit the catalogue; the one in force stays.
    """
    wanted = load_governance(settings)
    Table(wanted, catalogue)
    before = governance_in_force(settings, folder).hash if folder.governance.exists() else None
    if before == wanted.hash:
        return ""
    history = folder.path / "governance"
    history.mkdir(mode=0o700, exist_ok=True)
    write_flushed(history / f"{wanted.hash}.yaml", wanted.text.encode())
    facts = {"name": wanted.name, "from": before, "to": wanted.hash}
    records.audit.add(Entry("machine", "changeGovernance", "zone", facts=facts, tenant=settings.tenant))
    write_flushed(folder.governance, wanted.text.encode())
    return f"The governance {wanted.name} is in force now." if before else ""
