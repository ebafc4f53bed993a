"""Folders of BasicTS data sets, version 1.0 and later.

Source: GestaltCogTeam/BasicTS, scripts/data_preparation/*/generate_training_data.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elinformer.data.io.folder import map_array, read_meta
from elinformer.data.io.recording import Recording
from elinformer.data.pieces import Pieces
from elinformer.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

PARTS = ("train", "val", "test")


def read_basicts(folder: Path) -> Recording:
    """Read `train_data.npy`, `val_data.npy` and `test_data.npy` (T, N) or (T, N, C) and join them along time.

    `meta.json`, if present, gives the step in minutes, the number that stands for missing and, in some versions, the
    names. There are no dates (`*_timestamps.npy` hold shares of the day and the week), so time is step numbers unless
    the caller gives a start.

    Raises:
        InputError: A file is missing or has another shape, or `meta.json` is no JSON.
    """
    missing = [f"{part}_data.npy" for part in PARTS if not (folder / f"{part}_data.npy").is_file()]
    if missing:
        older = ", which older versions write as data.dat and desc.json" if (folder / "data.dat").exists() else ""
        raise InputError(
            f"expected a BasicTS folder with {', '.join(f'{part}_data.npy' for part in PARTS)}, got none called "
            f"{' or '.join(missing)}{older}: pass such a folder or one file"
        )
    parts = [map_array(folder / f"{part}_data.npy") for part in PARTS]
    shapes = [part.shape for part in parts]
    if len({shape[1:] for shape in shapes}) > 1:
        raise InputError(f"expected parts of the same series and channels, got the shapes {shapes}: write them again")
    return _with_meta(Pieces.concatenate([Pieces.of(part) for part in parts]), read_meta(folder / "meta.json"))


def _with_meta(values: Pieces, meta: dict[str, Any]) -> Recording:
    """Return the recording of `values` with the description in `meta.json`."""
    minutes = meta.get("frequency (minutes)")
    settings = meta.get("regular_settings")
    null_value = settings.get("null_val") if isinstance(settings, dict) else None
    names, features = (_list_of(meta.get(key)) for key in ("variable_names", "feature_description"))
    return Recording(
        values=values,
        freq=None if minutes is None else f"{minutes}min",
        series=names if len(names) == values.shape[1] else None,
        channels=features if len(features) == values.shape[2] else None,
        null_value=null_value if isinstance(null_value, int | float) else None,
    )


def _list_of(names: Any) -> list[Any]:
    return names if isinstance(names, list) else []
