"""Settings files of the long-lived programs: what a coordinator and a site are told."""
