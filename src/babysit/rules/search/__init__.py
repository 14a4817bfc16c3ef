"""What can be wrong with a search (S0).

Purpose: one file a issue of this family
May import: records and the readings of this room
Start at: any file; each holds one RULE, except placed.py, which says where trials lie in their range
"""
