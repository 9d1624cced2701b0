"""How a hospital joins: certificates, one-time codes, and the coordinator's list of sites."""
