"""Configs are typed values: YAML holds numbers and names, never code, and a typo is an error."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar, get_args

import numpy as np
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from gencarbon.errors import InputError


class Config(BaseModel):
    """Base of every config: strict (no "8" for 8), frozen, every key known, defaults checked like values."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, validate_default=True)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The config in a YAML file; an InputError names the file, the key, what was expected and what
        came."""
        return cls.parse(read_yaml(path), where=str(path))

    @classmethod
    def parse(cls, values: dict[str, Any], where: str = "config") -> Self:
        """The config with these values; `where` is named in the errors."""
        try:
            return cls.model_validate(_as_tuples(values))
        except ValidationError as error:
            raise InputError(f"{where}: " + "; ".join(_explain(cls, e) for e in error.errors())) from None


KINDS: dict[str, type[Config]] = {}
Model = TypeVar("Model", bound=type[Config])


def _is_date(text: str) -> str:
    if np.isnat(np.datetime64(text)):
        raise ValueError("expected a date such as 2018-06-01, got none")
    return text


IsoDate = Annotated[str, AfterValidator(_is_date)]  # ISO 8601; numpy's ValueError tells what it cannot read


def register(kind: str) -> Callable[[Model], Model]:
    """Decorator: files whose key `kind` has this value hold the decorated model."""

    def add(model: Model) -> Model:
        if kind in KINDS:
            raise ValueError(f"kind {kind!r} is already {KINDS[kind].__name__}; choose another name")
        KINDS[kind] = model
        return model

    return add


class PlainLoader(yaml.SafeLoader):
    """Plain values only; numbers as in YAML 1.2, where 4e-4 is one."""


PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file (safe loader: plain values only)."""
    try:
        values = yaml.load(Path(path).read_text(), Loader=PlainLoader)
    except OSError as error:
        raise InputError(
            f"{path}: expected a readable YAML file, got {error.strerror}; check the path"
        ) from None
    except yaml.YAMLError as error:
        raise InputError(
            f"{path}: expected YAML with plain values, got {_one_line(error)}; correct the file"
        ) from None
    if not isinstance(values, dict):
        raise InputError(
            f"{path}: expected a mapping `key: value`, got {type(values).__name__}; see configs/"
        )
    return values


def load_any(path: str | Path) -> Config:
    """The config in a YAML file, of the model registered under its `kind`."""
    kind = read_yaml(path).get("kind")
    if kind not in KINDS:
        raise InputError(f"{path}: expected a kind of {sorted(KINDS)}, got {kind!r}; set `kind:` in the file")
    return KINDS[kind].load(path)


def _explain(model: type[BaseModel], error: Any) -> str:
    """One pydantic error as `key: expected, got, what to do`."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"expected a value for {key!r}, got none; add the key"
    if error["type"] == "extra_forbidden":
        return _explain_unknown(_owner(model, error["loc"]), key)
    return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}, got {error['input']!r}; correct the value"


def _explain_unknown(owner: type[BaseModel], key: str) -> str:
    """An unknown key, the known ones, and the closest of them."""
    known = sorted(owner.model_fields)
    close = difflib.get_close_matches(key.rsplit(".", 1)[-1], known, n=1)
    remedy = f"did you mean {close[0]!r}?" if close else "remove it"
    return f"expected keys among {known}, got the unknown key {key!r}; {remedy}"


def _owner(model: type[BaseModel], location: tuple[str | int, ...]) -> type[BaseModel]:
    """The model that holds the last key of `location`, at any depth below `model`."""
    for part in location[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = next(_models(model.model_fields[part].annotation), model)
    return model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models named in an annotation such as `tuple[SplitConfig, ...]` or `Inner | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _as_tuples(value: Any) -> Any:
    """YAML lists as tuples: a frozen config holds no list."""
    if isinstance(value, dict):
        return {key: _as_tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_as_tuples(item) for item in value)
    return value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
