"""Datasets: readers, checks, stores, the benchmark and the border to normalised tensors."""
