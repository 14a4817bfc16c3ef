"""Problems of fit, as seen in loss and accuracy curves (F9).

Purpose: one file per rule of this family
May import: records, analysis
Start at: any file; each holds one RULE
"""
