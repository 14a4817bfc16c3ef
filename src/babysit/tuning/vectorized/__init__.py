"""Vectorized training: members of the same structure are trained with stacked weights, moments and buffers.

Purpose: the `Executor` for many small networks on one core; calibrated and checked against eager PyTorch.
May import: what tuning may import.
Start at: executor.py, then backends.py (the steps) and calibrate.py (which one is used).
"""
