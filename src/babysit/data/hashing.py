"""64-bit hashes of samples, features and labels by vectorized arithmetic."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

# Constants of the generator SplitMix64. Source: Steele, Lea and Flood 2014, Fast splittable pseudorandom number
# generators.
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def keys(start: int, count: int) -> Words:
    """Return pseudorandom numbers for the indices start, start + 1, …: the same on every machine."""
    return scrambled(np.arange(start + 1, start + count + 1, dtype=np.uint64))


def scrambled(values: Words) -> Words:
    """Scramble each number bijectively, so that every output bit depends on every input bit."""
    z: Words = values * _GOLDEN
    z ^= z >> np.uint64(30)  # in place: allocating memory would cost more than the step
    z *= _FIRST
    z ^= z >> np.uint64(27)
    z *= _SECOND
    z ^= z >> np.uint64(31)
    return z


def words(values: NDArray[np.float32]) -> Words:
    """Expand the bits of each value to 64 bits; 0.0 and -0.0 are equal, as for any network."""
    bits = (values + np.float32(0)).view(np.uint32).astype(np.uint64)
    bits *= _GOLDEN
    bits ^= bits >> np.uint64(32)
    return bits


def row_hashes(expanded: Words) -> Words:
    """Hash each row of `words`, returning shape (rows,).

    Multilinear hashing: Lemire and Kaser 2014, Strongly universal string hashing is fast. Among a million different
    rows, the probability of a collision is about 1 in 30 million.
    """
    hashes: Words = np.einsum("ij,j->i", expanded, keys(0, expanded.shape[1]))
    return scrambled(hashes)


def column_hashes(expanded: Words, row_keys: Words) -> Words:
    """Return the contribution of these rows to the hash of each column: sums over all rows are equal for equal columns.

    `row_keys` are the `keys` of the row indices.
    """
    hashes: Words = np.einsum("ij,i->j", expanded, row_keys)
    return hashes


def label_hashes(labels: NDArray[Any]) -> Words:
    """Hash each label, or each row of targets; the text "3" and the number 3 are the same label."""
    if labels.ndim > 1:
        with np.errstate(over="ignore"):
            return row_hashes(words(np.ascontiguousarray(labels, dtype=np.float32)))
    if labels.dtype.kind in "US":
        distinct, inverse = np.unique(labels, return_inverse=True)
        return np.array([_text_hash(str(label)) for label in distinct], dtype=np.uint64)[inverse]
    with np.errstate(over="ignore"):
        return scrambled(words(labels.astype(np.float32)))


def _text_hash(text: str) -> int:
    try:
        number = np.float32(text)
    except ValueError:
        return int.from_bytes(hashlib.blake2b(text.encode(errors="replace"), digest_size=8).digest())
    return int(scrambled(words(np.array([number], dtype=np.float32)))[0])
