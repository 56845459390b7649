"""One module per benchmark: `run(benchmark, quick) -> Result`."""
