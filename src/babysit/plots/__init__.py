"""All figures.

Purpose: one file per figure, numbers(run) then draw(numbers)
May import: records, never torch
Start at: catalogue.py
"""
