"""Test utilities for authors of rules, stores and executors.

Purpose: contract suites and synthetic runs
May import: every room but cli
Start at: synthetic_runs.py
"""
