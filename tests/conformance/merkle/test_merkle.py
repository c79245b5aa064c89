"""Our checks of Merkle proofs against published vectors, good and bad."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from carcloud.safety.audit.tree import verify_consistency, verify_inclusion

VECTORS = Path(__file__).parents[4] / "shared/data/merkle"


def vectors(name: str) -> dict[str, Any]:
    file = VECTORS / name
    if not file.exists():
        pytest.skip(f"the Merkle vectors are not at {file}")
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def hashes(values: list[str] | None) -> list[bytes]:
    return [base64.b64decode(value) for value in values or []]


def test_every_inclusion_vector_agrees():
    found = vectors("inclusion.json")
    assert len(found) == 49
    for name, case in found.items():
        leaf, root = hashes([case["leafHash"], case["root"]])
        good = verify_inclusion(case["leafIdx"], case["treeSize"], leaf, hashes(case["proof"]), root)
        assert good is not case["wantErr"], name


def test_every_consistency_vector_agrees():
    found = vectors("consistency.json")
    assert len(found) == 49
    for name, case in found.items():
        old, new = hashes([case["root1"], case["root2"]])
        good = verify_consistency(case["size1"], case["size2"], old, new, hashes(case["proof"]))
        assert good is not case["wantErr"], name
