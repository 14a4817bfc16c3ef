"""The whole method, start to finish.

Purpose: carry out on any data what the other rooms can do, in the order of the lecture, so that it can be resumed
May import: reporting, tuning and everything below
Start at: method.py
"""
