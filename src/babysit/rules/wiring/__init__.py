"""Problems of the loop and of what is joined to what (W7).

Purpose: one file per rule of this family
May import: records, analysis
Start at: any file; each holds one RULE
"""
