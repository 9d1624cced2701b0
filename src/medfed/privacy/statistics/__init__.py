"""Statistics that are noised at each hospital: counts, sums, means, histograms and what follows."""
