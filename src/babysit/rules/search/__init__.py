"""Problems of hyperparameter searches (S0).

Purpose: one file per rule of this family
May import: records, analysis
Start at: any file; each holds one RULE, except example_runs.py
"""
