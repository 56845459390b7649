"""Numbers with their unit and source. Everything else derives from these."""

import math
from typing import Any

EARTH_RADIUS = 6.371e6  # m            mean radius, IUGG
GRAVITY = 9.80665  # m s-2        standard gravity, CGPM 1901
M_CO2 = 44.0095e-3  # kg mol-1     CO2, IUPAC 2021
M_CARBON = 12.011e-3  # kg mol-1     carbon, IUPAC 2021
M_AIR = 28.9647e-3  # kg mol-1     dry air, US Standard Atmosphere with 400 ppm CO2
SECONDS_PER_DAY = 86400.0  # s
SECONDS_PER_YEAR = 365.25 * SECONDS_PER_DAY  # s   Julian year
KG_PER_PGC = 1e12  # kg           of carbon in a petagram
SPHERE_AREA = 4 * math.pi * EARTH_RADIUS**2  # m2


def ppm_to_kgkg(ppm: Any) -> Any:
    """Dry mole fraction in ppm (1e-6 mol mol-1) to mass mixing ratio in kg CO2 per kg dry air."""
    return ppm * 1e-6 * M_CO2 / M_AIR


def kgkg_to_ppm(mixing_ratio: Any) -> Any:
    """Mass mixing ratio in kg CO2 per kg dry air to dry mole fraction in ppm. The inverse of `ppm_to_kgkg`."""
    return mixing_ratio * 1e6 * M_AIR / M_CO2


def kg_co2_to_pgc(kg: Any) -> Any:
    """Mass of CO2 in kg to petagrams of carbon."""
    return kg * M_CARBON / M_CO2 / KG_PER_PGC


def pgc_to_kg_co2(pgc: Any) -> Any:
    """Petagrams of carbon to the mass of CO2 in kg. The inverse of `kg_co2_to_pgc`."""
    return pgc * KG_PER_PGC * M_CO2 / M_CARBON
