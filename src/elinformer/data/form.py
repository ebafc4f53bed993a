"""Form: how data came, so that forecasts come back alike and new data are read alike."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from elinformer._arguments import check_fields

if TYPE_CHECKING:
    from collections.abc import Mapping


Resample = Literal["mean", "sum"]
"""Ways to bring irregular times to a grid."""


@dataclass(frozen=True)
class Form:
    """Form in which data came: kind of frame, types and names of the keys, and the number that stands for missing.

    Attributes:
        library: "pandas", "polars" or "pyarrow".
        id_type: Type of the names of series, as Arrow writes it ("int64"); None for text.
        time_type: Type of the times, as Arrow writes it ("timestamp[us, tz=Europe/Berlin]"); None if unknown.
        id_column: Name of the column of series in a long table.
        time_column: Name of the column of times in a long table.
        null_value: Number that stands for missing.
        targets: Names of the columns with the values, if they were given.
        tz: Zone by whose clock times are read, if it was given.
        resample: How irregular times are brought to steps.
    """

    library: str = "pandas"
    id_type: str | None = None
    time_type: str | None = None
    id_column: str = "unique_id"
    time_column: str = "ds"
    null_value: float | None = None
    targets: tuple[str, ...] = ()
    tz: str | None = None
    resample: Resample | None = None

    @property
    def zone(self) -> str | None:
        """Time zone of the times, None without one."""
        _, _, zone = (self.time_type or "").rstrip("]").partition("tz=")
        return zone or None

    def to_document(self) -> dict[str, Any]:
        """Return the form as a document for JSON."""
        null_value = self.null_value
        return {**asdict(self), "null_value": None if null_value != null_value else null_value}  # noqa: PLR0124

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> Form:
        """Return the form that `to_document` wrote.

        Raises:
            TypeError: A field has another type.
        """
        fields: dict[str, Any] = {**(document or {})}
        fields["targets"] = tuple(fields.get("targets", ()))
        return check_fields(cls(**fields))


PLAIN = Form()
"""Form of data that are no frame: forecasts of them are frames of pandas."""
