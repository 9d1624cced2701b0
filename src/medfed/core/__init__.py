"""The words everything else is written in; NumPy and the standard library only."""
