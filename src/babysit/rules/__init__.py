"""Every judgement.

Purpose: one file a issue; from a run to ranked findings
May import: records, analysis, never torch
Start at: engine.py
"""
