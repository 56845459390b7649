"""Training of the generator with accelerate."""
