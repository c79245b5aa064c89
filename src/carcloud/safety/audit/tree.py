"""The Merkle tree of RFC 6962: its hashes, its proofs, and how they are checked. Pure.

Rules:
* Whoever proves gives `hash_of(level, index)`: the hash over the leaves from index * 2**level, 2**level of them. Only
  complete subtrees are asked for, so they may be kept in tiles.
* Checking never trusts what it is given: sizes, proofs and hashes of any length may come.

Source: RFC 6962, section 2.1 (hashes, proofs); RFC 9162, sections 2.1.3.2 and 2.1.4.2 (checking).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
HashOf = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node over two others."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_root(entries: Sequence[bytes]) -> bytes:
    """Return the root over the entries; of none, the hash of nothing."""
    return root_of([leaf_hash(entry) for entry in entries])


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Return the root over hashes of leaves, or of complete subtrees of one size."""
    if not hashes:
        return EMPTY_ROOT
    level = list(hashes)
    while len(level) > 1:
        paired = [node_hash(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
        level = paired + level[len(paired) * 2 :]
    return level[0]


def root(size: int, hash_of: HashOf) -> bytes:
    """Return the root of the tree of this size."""
    return _range_hash(0, size, hash_of) if size else EMPTY_ROOT


def inclusion_proof(number: int, size: int, hash_of: HashOf) -> list[bytes]:
    """Return the proof that leaf `number` is in the tree of this size. Raise ValueError where it cannot be."""
    if not 0 <= number < size:
        raise ValueError(f"leaf {number} is not in a tree of {size}")
    proof, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if number < middle:
            proof.append(_range_hash(middle, end, hash_of))
            end = middle
        else:
            proof.append(_range_hash(start, middle, hash_of))
            start = middle
    return proof[::-1]


def consistency_proof(old: int, new: int, hash_of: HashOf) -> list[bytes]:
    """Return the proof that the tree of size `new` begins with that of size `old`; of 0 and of itself, none."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} does not continue one of {old}")
    if old in (0, new):
        return []
    proof, start, end, whole = list[bytes](), 0, new, True
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            proof.append(_range_hash(middle, end, hash_of))
            end = middle
        else:
            proof.append(_range_hash(start, middle, hash_of))
            start, whole = middle, False
    if not whole:
        proof.append(_range_hash(start, end, hash_of))
    return proof[::-1]


def verify_inclusion(number: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Say whether the proof shows that the leaf of this hash has this number in the tree of this size and root."""
    if not 0 <= number < size or not _are_hashes(leaf, root, *proof):
        return False
    at, last, found = number, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(step, found)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, step)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Say whether the proof shows that the tree of size `new` begins with that of size `old`.

    With nothing, any tree is consistent: a proof from size 0 shows nothing and is never taken for one.
    """
    if not 0 <= old <= new or not _are_hashes(old_root, new_root, *proof):
        return False
    if old == new:
        return not proof and old_root == new_root
    if old == 0 or not proof:
        return False
    steps = list(proof) if old & (old - 1) else [old_root, *proof]
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    older = newer = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            older, newer = node_hash(step, older), node_hash(step, newer)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            newer = node_hash(newer, step)
        at, last = at >> 1, last >> 1
    return last == 0 and older == old_root and newer == new_root


def _split(count: int) -> int:
    """Return the largest power of two below a count of at least 2."""
    return 1 << ((count - 1).bit_length() - 1)


def _range_hash(start: int, end: int, hash_of: HashOf) -> bytes:
    count = end - start
    if not count & (count - 1):
        return hash_of(count.bit_length() - 1, start // count)
    middle = start + _split(count)
    return node_hash(_range_hash(start, middle, hash_of), _range_hash(middle, end, hash_of))


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
