"""Issues of output, loss and target together (O2).

Purpose: one file a issue of this family
May import: records and the readings of this room
Start at: any file; each holds one RULE
"""
