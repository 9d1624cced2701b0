"""What the command line and the consoles do: runs, sites, comparisons, reports."""
