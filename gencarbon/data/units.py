"""Units of input: compatible ones become those of `VARIABLES`, ambiguous ones are refused with the factor."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import xarray as xr

from gencarbon.constants import M_AIR, M_CARBON, M_CO2
from gencarbon.data.refusal import refusal
from gencarbon.variables import VARIABLES

MOLE_FRACTIONS = {"ppm": 1.0, "ppmv": 1.0, "ppb": 1e-3, "ppbv": 1e-3}  # ppm
_MASS = re.compile(r"(?<![A-Za-z])(?:[kmunp]|micro|kilo)?(?:g|gram|grams)(?![A-Za-z])")
_CARBON = re.compile(r"(?<![A-Za-z])[kmunpPTG]?g[\s_]*C(?![A-Za-z])")
_CO2_AS_CARBON = "expressed_as_carbon"
_DEGREES = {
    "lat": ("degrees_north", "degree_north", "degrees_N", "degree_N", "degrees", "degree"),
    "lon": ("degrees_east", "degree_east", "degrees_E", "degree_E", "degrees", "degree"),
}


@cache
def _registry() -> Any:
    from cf_xarray.units import units

    return units


def convert(array: xr.DataArray, name: str, role: str) -> tuple[xr.DataArray, str | None]:
    """`array` in the units of `VARIABLES[name]`, and what was converted, if anything. Lazy stays lazy.

    Raises InputError for a missing, unknown, incompatible or ambiguous unit.
    """
    where, wanted = f"{role}: {name}", VARIABLES[name].units
    shown = "ppm (units 1e-6)" if wanted == "1e-6" else wanted
    if array.dtype.kind not in "fiu":
        raise refusal(where, "numbers", f"dtype {array.dtype}", f"store {name} as floating point in {shown}")
    units = str(array.attrs.get("units", "")).strip()
    if not units:
        if wanted == "1":
            return array, None
        raise refusal(
            where,
            f"units {shown}",
            "no units attribute",
            f'set ds["{name}"].attrs["units"] once you know them',
        )
    if name == "flux":
        _refuse_ambiguous_flux(array, units, where)
    if wanted == "1e-6":
        _refuse_mass_fraction(array, units, name, where)
    factor = _factor(units, wanted, name)
    if factor is None:
        raise refusal(
            where,
            f"units {shown}",
            f"units {units!r}",
            f"convert {name} to {wanted} and set its units attribute",
        )
    if np.isclose(factor, 1.0, rtol=1e-12):
        return array, None
    converted = (array.astype(np.float64) * factor).assign_attrs(array.attrs)
    return converted, f"{name} converted from {units} to {shown} (times {factor:.6g})"


def check_degrees(array: xr.DataArray, axis: str, role: str) -> None:
    """Refuse an axis `lat` or `lon` whose units are not degrees. Without units only values are checked."""
    units = str(array.attrs.get("units", _DEGREES[axis][0]))
    if units not in _DEGREES[axis]:
        wanted = _DEGREES[axis][0]
        raise refusal(
            f"{role}: {axis}",
            f"units {wanted}",
            f"units {units!r}",
            f"convert {axis} to degrees, set its units to {wanted}",
        )


def _refuse_ambiguous_flux(array: xr.DataArray, units: str, where: str) -> None:
    standard_name = str(array.attrs.get("standard_name", ""))
    if "mol" not in units and (_CARBON.search(units) or _CO2_AS_CARBON in standard_name):
        got = (
            f"a mass of carbon (units {units!r})"
            if _CARBON.search(units)
            else f"standard_name {standard_name!r}"
        )
        factor = f"multiply by {M_CO2 / M_CARBON:.6g} (44.0095/12.011)"
        raise refusal(
            where,
            "a mass of CO2, units kg m-2 s-1",
            got,
            f"{factor} and set the units and standard_name of a CO2 flux",
        )
    if "downward" in standard_name:
        remedy = "multiply by -1 and set standard_name surface_upward_mole_flux_of_carbon_dioxide or none"
        raise refusal(where, "a flux positive upward", f"standard_name {standard_name!r}", remedy)


def _refuse_mass_fraction(array: xr.DataArray, units: str, name: str, where: str) -> None:
    """A mole fraction in kg kg-1, or in plain '1' without a name that says which, could be either kind."""
    standard_name = str(array.attrs.get("standard_name", ""))
    plain = units == "1" and "mole_fraction" not in standard_name
    if _MASS.search(units) or "mass_" in standard_name or plain:
        got = f"units {units!r}" + (f" and standard_name {standard_name!r}" if standard_name else "")
        factor = 1e6 * M_AIR / M_CO2
        remedy = f"multiply kg per kg of dry air by {factor:.6g}, a mole fraction by 1e6; units 1e-6"
        raise refusal(where, "a dry mole fraction, units 1e-6 (ppm) or mol mol-1", got, remedy)


def _factor(units: str, wanted: str, name: str) -> float | None:
    """What multiplies a value in `units` to give `wanted`; None where they do not fit."""
    if units == wanted:
        return 1.0
    if wanted == "1e-6" and units in MOLE_FRACTIONS:
        return MOLE_FRACTIONS[units]
    text, registry = _plain(units), _registry()
    try:
        quantity = registry.Quantity(registry.parse_expression(text))
        target = registry.Quantity(registry.parse_expression(wanted))
        if name == "flux" and "mol" in text:
            quantity = quantity * registry.Quantity(M_CO2, "kg / mol")
        return float((quantity / target).to("dimensionless").magnitude)
    except Exception:  # pint and its tokenizer raise a dozen kinds for text that is no unit
        return None


def _plain(units: str) -> str:
    """Units without the species: `kg CO2 m-2` and `umol C m-2` lose their CO2 and C; mb is millibar."""
    text = re.sub(r"\(?CO2\)?", " ", units)
    text = re.sub(r"(mol|moles?)[\s_]*C(?![A-Za-z0-9])", r"\1", text)
    return re.sub(r"^(mb|mbar)$", "millibar", " ".join(text.split()))
