"""Every figure.

Purpose: one file a figure, numbers(run) then draw(numbers)
May import: records, never torch
Start at: catalogue.py
"""
