"""Code that reads one kind of source each, and the phantom that stands in for one."""
