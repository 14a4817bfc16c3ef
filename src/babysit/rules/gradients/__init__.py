"""Problems of gradients (G5).

Purpose: one file per rule of this family
May import: records, analysis
Start at: any file; each holds one RULE
"""
