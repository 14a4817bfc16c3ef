"""Issues of what comes back (G5).

Purpose: one file a issue of this family
May import: records and the readings of this room
Start at: any file; each holds one RULE
"""
