"""Shape annotations that cost nothing: jaxtyping where it is installed, the plain type where it is not.

`Float[Tensor, "B N E"]` reads the same either way; the tests check the shapes at run time with
`--jaxtyping-packages`, and users need torch and numpy alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
else:
    try:
        from jaxtyping import Bool, Float, Int
    except ImportError:

        class _Plain:
            def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
                return item[0]

        Bool = Float = Int = _Plain

__all__ = ["Bool", "Float", "Int"]
