"""Log and witness are killed with SIGKILL at any moment: no leaf lost or doubled, never two histories signed."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from carcloud.backends.records import Records
from carcloud.backends.records.audit import FOLD
from carcloud.safety.audit import tree
from carcloud.safety.audit.note import Note, parse_checkpoint, parse_lines
from carcloud.safety.audit.witness import Witness
from tests.unit.safety.audit.test_log import Place, acts, receipt
from tests.unit.safety.audit.test_witness import KEY as LOG_KEY
from tests.unit.safety.audit.test_witness import ONE, OTHER, checkpoint, hash_of, request

ACTS, CHUNKS = 1500, 400
KILLS = 12


def killed(work: Callable[[], None], after_s: float) -> bool:
    """Do the work in a child and kill that; return whether it was quicker."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    deadline = time.monotonic() + after_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert os.waitstatus_to_exitcode(status) == 0
            return True
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def test_killed_log_loses_and_doubles_no_leaf(tmp_path: Path):
    place = Place(tmp_path)
    place.records.audit.add(*acts(0, ACTS))
    place.records.close()

    def work() -> None:
        place.records = Records.open(f"sqlite:///{tmp_path}/records.db")
        log = place.log()
        while True:
            chunk = place.records.positions().get((FOLD, 0), 0)
            waiting = place.records.audit.pending(30)
            numbers = range(chunk + 1, min(chunk + 9, CHUNKS + 1))
            if not waiting and not numbers:
                return
            log.write(waiting, [receipt(number) for number in numbers])

    random.seed(1)
    kills = 0
    while not killed(work, 60.0 if kills >= KILLS else random.uniform(0.02, 0.25)):
        kills += 1
    place.records = Records.open(f"sqlite:///{tmp_path}/records.db")
    log, said = place.log(), place.said()
    assert kills >= 3
    assert [name for name in said if name.startswith("vehicle")] == [f"vehicle:{n}" for n in range(ACTS)]
    assert [name for name in said if name.startswith("chunk")] == [f"chunk:{n + 1}" for n in range(CHUNKS)]
    assert log.checkpoint.root == tree.tree_root(place.entries())
    assert place.records.audit.size() == ACTS + CHUNKS
    assert not (place.folder / "draft").exists()
    place.records.close()


def test_killed_witness_never_signs_two_histories(tmp_path: Path):
    told, tell = os.pipe()

    def work() -> None:
        witness = Witness(tmp_path / "w", [LOG_KEY], "test/witness")
        while (newest := witness.newest(LOG_KEY.name)) is None or newest.size < 299:
            size = newest.size if newest else 0
            for history in random.sample([ONE, OTHER], 2):
                new = size + random.randrange(1, 3)
                answer = witness.answer(request(size, new, history))
                if answer.status == 200:
                    os.write(tell, f"{int(history is OTHER)} {new} {answer.body}".encode())
                    break

    kills = 0
    while kills < KILLS and not killed(work, random.uniform(0.02, 0.12)):
        kills += 1
    os.close(tell)
    with os.fdopen(told) as pipe:
        signed = [line.split(" ", 2) for line in pipe]
    assert len(signed) > 20
    key = Witness(tmp_path / "w", [LOG_KEY], "test/witness").key
    histories = set()
    for which, size, line in signed:
        history = OTHER if which == "1" else ONE
        assert Note(checkpoint(int(size), history).text(), parse_lines(line)).of(key)
        if int(size) > 5:  # up to there both are the same
            histories.add(which)
    assert len(histories) <= 1
    sizes = [int(size) for _, size, _ in signed]
    assert sizes == sorted(set(sizes))
    file = next((tmp_path / "w").glob("newest-*"))
    last = parse_checkpoint(file.read_text().split("\n\n")[0] + "\n")
    assert last.size >= sizes[-1]
    assert last.root in {tree.root(last.size, hash_of(history)) for history in (ONE, OTHER)}
