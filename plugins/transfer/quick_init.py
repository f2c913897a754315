"""A faster `__init__` for frozen dataclasses of which millions are created; it takes a third of the time."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, TypeVar

T = TypeVar("T")


def quick_init(cls: type[T]) -> type[T]:
    """Decorate a frozen, slotted, keyword-only dataclass without default factories with an equivalent, faster `__init__`.

    dataclasses sets each field of a frozen class with `object.__setattr__`, which looks up the name every time; the new
    `__init__` calls the slot descriptors directly.
    """
    space: dict[str, Any] = {}
    parameters, body = [], []
    for field in fields(cls):  # type: ignore[arg-type]
        space[f"set_{field.name}"] = getattr(cls, field.name).__set__
        space[f"default_{field.name}"] = field.default
        parameters.append(field.name if field.default is MISSING else f"{field.name}=default_{field.name}")
        body.append(f"    set_{field.name}(self, {field.name})\n")
    exec(f"def __init__(self, *, {', '.join(parameters)}):\n{''.join(body)}", space)  # noqa: S102 - as dataclasses does
    made = space["__init__"]
    made.__qualname__, made.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
    made.__annotations__ = cls.__init__.__annotations__
    cls.__init__ = made  # type: ignore[method-assign]
    return cls
