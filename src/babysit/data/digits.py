"""Bundled data: 1,797 handwritten digits of 8 x 8 pixels from scikit-learn, without network access."""

from __future__ import annotations

from babysit.data.arrays import make_samples
from babysit.data.samples import Samples


def load_digits() -> Samples:
    """Load the digits as a table of 64 features between 0 and 16, with 10 classes."""
    from sklearn.datasets import load_digits as read

    bundled = read()
    names = tuple(str(name) for name in bundled.feature_names)
    return make_samples(bundled.data, bundled.target, source="digits", feature_names=names)
