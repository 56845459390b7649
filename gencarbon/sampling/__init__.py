"""From noise to CO2: samplers, projection, seeds, pipeline."""
