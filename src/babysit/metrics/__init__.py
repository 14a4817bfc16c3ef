"""Tensor to number.

Purpose: statistics of activations, gradients, weights and updates, on the device, without waiting for it
May import: records
Start at: catalogue.py
"""
