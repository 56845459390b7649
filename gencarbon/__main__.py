"""`python -m gencarbon`, for `accelerate launch -m gencarbon ...`."""

from gencarbon.cli import main

main()
