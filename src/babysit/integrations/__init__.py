"""Other people's loops and trackers.

Purpose: hosts call us, we call trackers
May import: tuning and everything below
Start at: hosts/ and trackers/
"""
