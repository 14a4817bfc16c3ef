"""Executors: train trials in this process, in worker processes, or on Ray.

Purpose: the executor protocol and its implementations
May import: training and everything below
Start at: base.py
"""
