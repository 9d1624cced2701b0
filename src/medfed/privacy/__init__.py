"""Privacy mechanisms, the accountant, and the randomness that they draw from."""
