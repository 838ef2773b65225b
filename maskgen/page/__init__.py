"""Pages to look at: one HTML file each, without a network, in one dress."""
