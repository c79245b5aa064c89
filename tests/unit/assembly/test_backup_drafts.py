"""One restore at a time works on a folder, and what a killed one left is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from carcloud.assembly.backup.drafts import alone, draft_of, leftovers, warning
from carcloud.errors import ConflictError

HOLDER = """
import sys, time
from pathlib import Path
from carcloud.assembly.backup.drafts import alone
with alone(Path(sys.argv[1])):
    Path(sys.argv[1]).mkdir()
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_draft_is_held_by_one_restore_and_left_by_a_killed_one(tmp_path: Path) -> None:
    draft = draft_of(tmp_path / "zone")
    with subprocess.Popen([sys.executable, "-c", HOLDER, draft], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConflictError, match="Another restore"), alone(draft):
            pass
        assert draft.exists()
        assert leftovers(tmp_path) == []
        holder.kill()
        holder.wait()
    assert leftovers(tmp_path) == [draft]
    assert f"rm -r {draft}" in warning(draft)
    with alone(draft):
        assert leftovers(tmp_path) == []
        draft.rmdir()
    assert list(tmp_path.iterdir()) == []


def test_there_may_be_no_folder_to_look_in(tmp_path: Path) -> None:
    (tmp_path / ".restoring").write_text("no folder")
    assert leftovers(tmp_path) == leftovers(tmp_path / "none") == []
