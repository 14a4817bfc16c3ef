"""Building blocks that PyTorch lacks.

Purpose: preprocessing modules, initialization by following activation, two model builders
May import: records
Start at: builders.py
"""
