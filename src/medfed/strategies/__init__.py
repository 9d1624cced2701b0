"""The built-in strategies: one short file each, NumPy only; found through entry points."""
