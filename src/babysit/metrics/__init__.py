"""Tensor statistics.

Purpose: statistics of activations, gradients, weights and updates, on the device, without synchronization
May import: records
Start at: catalogue.py
"""
