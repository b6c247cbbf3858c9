"""Compares OpenLineage events, one a line on standard input, with the classes of openlineage-python, which are generated from the JSON schemas of the
specification: every property is one of theirs and of its type, none that is required is missing, and each facet is of the version that it names."""

import enum
import importlib
import json
import pkgutil
import sys
import types
import typing

import attr
import openlineage.client.generated as generated
from openlineage.client.generated.base import RunEvent, RunFacet

known = {}
for module in pkgutil.iter_modules(generated.__path__):
    for value in vars(importlib.import_module(f"{generated.__name__}.{module.name}")).values():
        if isinstance(value, type) and hasattr(value, "_get_schema"):
            known[value._get_schema()] = value


def of_class(cls, data, place):
    fields = {field.name: field for field in attr.fields(cls)}
    hints = typing.get_type_hints(cls)
    for name in data:
        assert name in fields, f"{place}: {cls.__name__} has no {name}"
    for name, field in fields.items():
        if name in data:
            of_type(hints[name], data[name], f"{place}.{name}")
            if field.validator:
                field.validator(None, field, data[name])
        else:
            assert field.default is not attr.NOTHING, f"{place}: {cls.__name__} wants {name}"


def of_type(kind, value, place):
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        (kind,) = [each for each in args if each is not type(None)]
        return of_type(kind, value, place)
    if origin is list:
        assert isinstance(value, list), place
        for i, each in enumerate(value):
            of_type(args[0], each, f"{place}[{i}]")
    elif origin is dict:
        assert isinstance(value, dict), place
        for name, each in value.items():
            of_type(args[1], each, f"{place}.{name}")
    elif attr.has(kind) and "_schemaURL" in value:
        cls = known[value["_schemaURL"]]
        assert issubclass(cls, kind), f"{place}: {cls.__name__} is no {kind.__name__}"
        # A facet of ptmflow's own: any properties.
        if cls is not RunFacet:
            of_class(cls, value, place)
    elif attr.has(kind):
        of_class(kind, value, place)
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        kind(value)
    else:
        assert isinstance(value, kind), f"{place}: {value!r} is no {kind.__name__}"


for number, line in enumerate(sys.stdin, 1):
    of_class(RunEvent, json.loads(line), f"event {number}")
