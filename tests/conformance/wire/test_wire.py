"""Our codec and the example client against docs/wire-vectors.json."""

import ast
import importlib.util
import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import zstandard

from carcloud.vehicle.batch import Batch, BatchError, IdTable, Provenance, decode, decode_json, encode

ROOT = Path(__file__).parents[3]
VECTORS = json.loads((ROOT / "docs/wire-vectors.json").read_text())
COLUMNS, ROWS = VECTORS["columns"], VECTORS["json"]


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


client = load(ROOT / "examples/wire_client.py")


def picked(vectors, key):
    return [pytest.param(vector, id=vector["name"][:60]) for vector in vectors if key in vector]


def shown(batch: Batch) -> dict:
    return {
        "table": batch.table.hex(),
        "queue": f"{batch.queue:016x}",
        "number": batch.number,
        "base_us": batch.base_us,
        "provenance": batch.provenance.name.lower(),
        "signals": batch.signals.tolist(),
        "counts": batch.counts.tolist(),
        "times": batch.times.tolist(),
        "values": [None if math.isnan(value) else value for value in batch.values.tolist()],
        "texts": {str(row): text for row, text in batch.texts.items()},
    }


def built(facts: dict) -> Batch:
    values = [math.nan if value is None else value for value in facts["values"]]
    return Batch(
        bytes.fromhex(facts["table"]),
        int(facts["queue"], 16),
        facts["number"],
        facts["base_us"],
        np.array(facts["signals"], np.uint16),
        np.array(facts["counts"], np.uint32),
        np.array(facts["times"], np.int32),
        np.array(values, np.float64),
        Provenance[facts["provenance"].upper()],
        {int(row): text for row, text in facts["texts"].items()},
    )


@pytest.mark.parametrize("vector", picked(COLUMNS, "decoded"))
def test_good_payload_decodes_to_what_the_vector_says(vector):
    assert shown(decode(bytes.fromhex(vector["hex"]))) == vector["decoded"]


@pytest.mark.parametrize("vector", picked(COLUMNS, "decoded"))
def test_our_encoder_writes_header_and_body_of_the_vector(vector):
    same_but_packing(encode(built(vector["decoded"])), vector)


@pytest.mark.parametrize("vector", picked(COLUMNS, "decoded"))
def test_example_client_writes_header_and_body_of_the_vector(vector):
    facts = vector["decoded"]
    table = bytes.fromhex(facts["table"])
    ends = np.cumsum(facts["counts"], dtype=int).tolist()
    signals = [signal for signal, count in zip(facts["signals"], facts["counts"], strict=True) for _ in range(count)]
    assert len(signals) == (ends[-1] if ends else 0)
    values = [facts["texts"].get(str(row), math.nan if v is None else v) for row, v in enumerate(facts["values"])]
    rows = [(s, facts["base_us"] + t, v) for s, t, v in zip(signals, facts["times"], values, strict=True)]
    provenance = Provenance[facts["provenance"].upper()].value
    payload = client.encode(table, int(facts["queue"], 16), facts["number"], rows, provenance, facts["base_us"])
    same_but_packing(payload, vector)


def same_but_packing(payload: bytes, vector: dict) -> None:
    expected = bytes.fromhex(vector["hex"])
    assert payload[:48] == expected[:48]
    assert zstandard.ZstdDecompressor().decompress(payload[56:]).hex() == vector["body_hex"]
    assert shown(decode(payload)) == vector["decoded"]


@pytest.mark.parametrize("vector", picked(COLUMNS, "cause"))
def test_bad_payload_is_refused_with_the_cause_the_vector_says(vector):
    with pytest.raises(BatchError) as error:
        decode(bytes.fromhex(vector["hex"]))
    assert error.value.cause == vector["cause"]
    if vector["numbered"]:
        assert (error.value.queue, error.value.number) == struct.unpack_from("<QQ", bytes.fromhex(vector["hex"]), 16)


@pytest.mark.parametrize("vector", picked(ROWS, "decoded"))
def test_good_json_decodes_to_what_the_vector_says(vector):
    batch = decode_json(vector["text"].encode())
    facts = vector["decoded"]
    assert [[s.signal, s.time_us, s.value, s.unit] for s in batch.samples] == facts["samples"]
    assert (batch.queue, batch.number) == (int(facts["queue"] or "0", 16), facts["number"] or 0)
    assert batch.provenance.name.lower() == facts["provenance"]


@pytest.mark.parametrize("vector", picked(ROWS, "cause"))
def test_bad_json_is_refused_with_the_cause_the_vector_says(vector):
    with pytest.raises(BatchError) as error:
        decode_json(vector["text"].encode())
    assert error.value.cause == vector["cause"]
    assert bool(error.value.number) == vector["numbered"]


@pytest.mark.parametrize("vector", VECTORS["tables"])
def test_id_table_has_the_canonical_text_and_hash_of_the_vector(vector):
    table = IdTable.parse(json.loads(vector["canonical"]))
    assert (table.canonical().decode(), table.hash.hex()) == (vector["canonical"], vector["hash"])
    assert client.table_hash(json.loads(vector["canonical"])).hex() == vector["hash"]


def test_vectors_are_what_their_script_makes():
    made = load(Path(__file__).parent / "make_vectors.py").make()
    for vector in (*made["columns"], *VECTORS["columns"]):
        if vector["name"] == "compressed":
            del vector["hex"]
    assert made == VECTORS


def test_example_client_is_small_and_imports_nothing_of_ours():
    tree = ast.parse((ROOT / "examples/wire_client.py").read_text())
    imported = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not [line for line in imported if "carcloud" in line]
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    docstrings = [node for node in statements if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    assert len(statements) - len(docstrings) - len(imported) < 75
