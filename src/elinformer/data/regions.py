"""Countries, their regions, and exchanges, whose days off the package `holidays` knows."""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import numpy as np

from elinformer.errors import InputError, MissingExtraError

NEAR = 3
"""Names at most that a message offers."""


def check_region(region: str) -> None:
    """Check that the package `holidays` knows a country, a region of it, or an exchange.

    Raises:
        InputError: It does not. The message names near ones.
        MissingExtraError: The package is not installed.
    """
    package = _package()
    if region in package.list_supported_financial():  # a list of all countries imports them
        return
    country = region.partition("-")[0]
    regions: dict[str, list[str]] = package.list_supported_countries()
    codes = {*package.list_supported_financial(), *regions}
    codes |= {f"{name}-{part}" for name, parts in regions.items() for part in parts}
    if region in codes:
        return
    remedy, start = "write a country, such as DE, or a region of it, such as US-NY", ""
    if country in regions:
        start = f"{country}-"
        remedy = f"write {country} alone" + (", or a region of it" if regions[country] else ", which has no regions")
    known = {code.removeprefix(start): code for code in sorted(codes) if code.startswith(start)}
    known |= {name: start + code for name, code in _aliases(package, country if start else "").items()}
    folded = {name.casefold(): code for name, code in known.items()}
    near = get_close_matches(region.removeprefix(start).casefold(), folded, NEAR, cutoff=0.5)
    shown = ", ".join(dict.fromkeys(folded[name] for name in near)) or ", ".join(
        dict.fromkeys(folded.values() if start else ())
    )
    near_ones = f"; near ones are {shown}" if shown else ""
    raise InputError(f"expected a region that the package holidays knows, got {region!r}: {remedy}{near_ones}")


def _aliases(package: Any, country: str = "") -> dict[str, str]:
    """Return codes by the names of countries, or of the regions of a country, as far as the package has names."""
    if country:
        return dict(package.country_holidays(country).subdivisions_aliases)
    return {names[0]: names[1] for names in package.registry.COUNTRIES.values()}


@lru_cache
def days_off(region: str, first_year: int, last_year: int) -> np.ndarray:
    """Return the days of the holidays of a region, sorted."""
    package = _package()
    country, _, part = region.partition("-")
    years = range(first_year, last_year + 1)
    if region in package.list_supported_financial():
        found = package.financial_holidays(region, years=years)
    else:
        found = package.country_holidays(country, subdiv=part or None, years=years)
    return np.array(sorted(found), "M8[D]")


def exchange(name: str) -> str | None:
    """Return the code of an exchange, such as "XNYS" for "XNYS" and for "NYSE"; None for another name.

    Raises:
        MissingExtraError: The package is not installed.
    """
    for _, code, *others in _package().registry.FINANCIAL.values():
        if name in {code, *others}:
            return code
    return None


def weekdays(region: str) -> tuple[int, ...]:
    """Return the days of the week, Monday = 0, that are no weekend in a country or region, or on an exchange."""
    package, country = _package(), region.partition("-")[0]
    is_exchange = region in package.list_supported_financial()
    weekend = (package.financial_holidays(region) if is_exchange else package.country_holidays(country)).weekend
    return tuple(day for day in range(7) if day not in weekend)


def _package() -> Any:
    try:
        import holidays
    except ImportError as error:
        raise MissingExtraError('holidays by name need an extra: pip install "elinformer[holidays]"') from error
    return holidays
