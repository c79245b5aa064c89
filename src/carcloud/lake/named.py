"""Which rows of a table say a name, in any of their texts, however deep these lie in lists and structures."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from carcloud.vehicle.pseudonym import LENGTH, PREFIX

Says = Callable[[pa.Array], pa.BooleanArray]
"""Tells of each text, as bytes, whether it says what is looked for."""


def holds_any(names: Collection[str]) -> Says:
    """Return what tells of a text whether one of these names is anywhere in it."""

    def says(texts: pa.Array) -> pa.BooleanArray:
        found = _none(texts)
        for name in names:
            found = pc.or_(found, pc.fill_null(pc.match_substring(texts, name), False))
        return found

    return says


def is_any(cars: Collection[str]) -> Says:
    """Return what tells of a text whether it is one of these cars' ids, or a pseudonym, and nothing else."""
    known, pattern = pa.array([car.encode() for car in cars], pa.large_binary()), f"^{PREFIX}[a-z0-9]{{{LENGTH}}}$"

    def says(texts: pa.Array) -> pa.BooleanArray:
        hidden = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
        return pc.or_(pc.is_in(texts, known), hidden)

    return says


def rows_that(batch: pa.RecordBatch, says: Says) -> pa.BooleanArray:
    """Return which rows have a text that says it.

    Raises:
        pa.ArrowException: a column is of a kind that cannot be searched.
    """
    found = pa.array(np.zeros(batch.num_rows, np.bool_))
    for column in batch.columns:
        found = pc.or_(found, _found(column, says))
    return found


def _found(column: pa.Array, says: Says) -> pa.BooleanArray:
    kind, types = column.type, pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _found(column.storage, says)
    if types.is_dictionary(kind):
        return pc.fill_null(_found(column.dictionary, says).take(column.indices), False)
    if types.is_run_end_encoded(kind):
        return _found(pc.run_end_decode(column), says)
    if types.is_null(kind) or types.is_decimal(kind) or types.is_primitive(kind):
        return _none(column)
    if types.is_struct(kind):
        found = _none(column)
        for part in column.flatten():
            found = pc.or_(found, _found(part, says))
        return found
    if types.is_map(kind):
        return _found(column.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))), says)
    if types.is_list_view(kind) or types.is_large_list_view(kind):
        return _found(column.cast(pa.large_list(kind.value_type)), says)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        within = np.zeros(len(column), np.bool_)
        within[pc.list_parent_indices(column).filter(_found(pc.list_flatten(column), says)).to_numpy()] = True
        return pa.array(within)
    return says(column.cast(pa.large_binary()))  # a union has no such cast, and raises


def _none(column: pa.Array) -> pa.BooleanArray:
    return pa.array(np.zeros(len(column), np.bool_))
