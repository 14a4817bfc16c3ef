"""Limitations of the monitoring itself (T0).

Purpose: one file per rule of this family
May import: records, analysis
Start at: any file; each holds one RULE
"""
