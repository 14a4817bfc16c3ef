"""Problems of output, loss and target (O2).

Purpose: one file per rule of this family
May import: records, analysis
Start at: any file; each holds one RULE
"""
