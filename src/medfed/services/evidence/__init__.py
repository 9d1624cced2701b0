"""Evidence of what an attacker could learn from a run, made at a site on its own patients."""
