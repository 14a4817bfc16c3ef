"""Problems of activations (A4).

Purpose: detect problems of activations; one file per rule
May import: records and the readings of this room
Start at: any file; each holds one RULE
"""
