"""Groups of series, by their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elinformer.data.panel import Panel


@dataclass(frozen=True)
class Group:
    """Series of one kind.

    Attributes:
        name: Name of the group.
        series: Numbers of its series in the panel.
    """

    name: str
    series: tuple[int, ...]


def groups_of(panel: Panel) -> list[Group]:
    """Group the series by the part of their name before a slash; names without a slash form one group."""
    names = [name.split("/")[0] if "/" in name else "all series" for name in panel.series]
    return [Group(kind, tuple(i for i, name in enumerate(names) if name == kind)) for kind in dict.fromkeys(names)]
