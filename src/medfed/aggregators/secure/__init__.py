"""Sums whose terms nobody sees: masks that cancel, and what they need."""
