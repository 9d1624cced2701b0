"""The long-lived processes of a federation, and a whole one on this machine."""
