"""Aggregators (how updates become one) and compressions (how they travel smaller)."""
