"""What gencarbon claims, and the means to measure it again. Nothing imports this package."""
