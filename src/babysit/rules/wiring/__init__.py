"""Problems of the training loop and the graph (W7).

Purpose: one file per rule of this family
May import: records, analysis
Start at: any file; each holds one RULE
"""
