"""The building blocks that PyTorch lacks.

Purpose: preprocessing as modules, initialization by what follows a layer, two builders
May import: records
Start at: builders.py
"""
