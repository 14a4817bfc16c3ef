"""Issues that show in the curves (F9).

Purpose: one file per rule of this family
May import: records, analysis
Start at: any file; each holds one RULE
"""
