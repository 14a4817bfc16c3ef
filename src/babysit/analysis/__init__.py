"""Quantities computed from a run record, each defined once.

Purpose: compute verdict, learning results, curve levels, layer metrics and trial rankings for rules and reports
May import: records, never torch
Start at: learning.py
"""
