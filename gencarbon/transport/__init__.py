"""Mass-conserving tracer transport on the sphere, in torch: winds -> closing air mass fluxes -> dc/dt."""
