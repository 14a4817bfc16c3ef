"""Issues of the loop and of what is joined to what (W7).

Purpose: one file a issue of this family
May import: records and the readings of this room
Start at: any file; each holds one RULE
"""
