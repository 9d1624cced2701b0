"""Privacy: encryption of what lies on disk."""
