"""The JSON schema of a recipe, for editors, made from the models."""

from __future__ import annotations

from typing import Any

from wellfit.config.fields import Section
from wellfit.config.recipe import Recipe
from wellfit.config.structure import all_keys, default_section, first_sentence, kind_of, variants


def json_schema() -> dict[str, Any]:
    """The JSON schema of a recipe file, for completion and checks in editors.

    Looser than the recipe in one way: what a preset can give is not required.
    """
    schema = Recipe.model_json_schema()
    definitions = schema["$defs"]
    definitions["Train"].pop("required", None)
    _write_defaults(Recipe, schema["properties"])
    for key in all_keys():
        for variant in variants(key.field.annotation):
            described = definitions[variant.__name__]
            _write_defaults(variant, described["properties"])
            if kind_of(variant) is not None:
                described["properties"]["kind"]["description"] = key.field.description
            if variant is not default_section(key.field):
                # else a section without a kind would match several, and "one of" would refuse it
                described.setdefault("required", []).insert(0, "kind")
            if variant.spread:  # one value in place of the mapping
                holder = definitions[key.section.__name__]["properties"][key.path[-1]]
                one = described["properties"][variant.spread[0]]["anyOf"]
                holder["anyOf"] = [{"$ref": holder.pop("$ref")}, *one]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "required": ["data"],
        "title": "Wellfit recipe",
        "description": first_sentence(Recipe.__doc__),
    }


def _write_defaults(section: type[Section], properties: dict[str, Any]) -> None:
    """Defaults as they are written in a recipe: 5 minutes, not 300 of some unit."""
    written_out = section.model_construct().model_dump(mode="json", warnings=False)
    for name, described in properties.items():
        if "default" in described:
            described["default"] = written_out[name]
