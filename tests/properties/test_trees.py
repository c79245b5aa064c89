"""Trees of any size: what is proven is true, what is not true is not proven."""

from hypothesis import given
from hypothesis import strategies as st

from carcloud.safety.audit import tree

ENTRIES = [b"%d" % n for n in range(300)]
HASHES = [tree.leaf_hash(entry) for entry in ENTRIES]
sizes = st.integers(1, 300)


def hash_of(level: int, index: int) -> bytes:
    return tree.root_of(HASHES[index << level : (index + 1) << level])


def recursive_root(entries: list[bytes]) -> bytes:
    """Return the root as RFC 6962 defines it, word for word."""
    if len(entries) < 2:
        return tree.leaf_hash(entries[0]) if entries else tree.EMPTY_ROOT
    middle = 1
    while middle * 2 < len(entries):
        middle *= 2
    return tree.node_hash(recursive_root(entries[:middle]), recursive_root(entries[middle:]))


@given(st.integers(0, 300))
def test_root_is_the_recursive_definition(size: int) -> None:
    assert tree.root(size, hash_of) == tree.tree_root(ENTRIES[:size]) == recursive_root(ENTRIES[:size])


@given(st.data(), sizes)
def test_each_leaf_is_proven_at_its_place_and_no_other(data: st.DataObject, size: int) -> None:
    number, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, 400))
    proof, root = tree.inclusion_proof(number, size, hash_of), tree.root(size, hash_of)
    assert tree.verify_inclusion(number, size, HASHES[number], proof, root)
    assert tree.verify_inclusion(other, size, HASHES[number], proof, root) is (other == number)
    assert not tree.verify_inclusion(number, size, HASHES[(number + 1) % 300], proof, root)


@given(sizes, sizes, st.integers(0, 300))
def test_an_older_tree_is_proven_of_that_size_and_no_other(one: int, two: int, other: int) -> None:
    old, new = sorted((one, two))
    proof = tree.consistency_proof(old, new, hash_of)
    roots = tree.root(old, hash_of), tree.root(new, hash_of)
    assert tree.verify_consistency(old, new, *roots, proof)
    assert not tree.verify_consistency(old, new, roots[0][::-1], roots[1], proof)
    if other != old:
        assert not tree.verify_consistency(other, new, tree.root(other, hash_of), roots[1], proof)
