"""Privacy: mechanisms and what they cost, encryption at rest, evidence of what a model tells."""
