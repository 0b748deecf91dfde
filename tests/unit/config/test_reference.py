"""The reference, presets and explanations say what the models say."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.recipe_page import PAGE, reference_page
from wellfit.config import explain, json_schema, load_text, presets, recipe_from_dict, to_dict
from wellfit.config.structure import all_keys, dotted, leaves, variants


def test_the_committed_page_is_current():
    # made by this command, run in the checkout
    assert PAGE.read_text(encoding="utf-8") == reference_page(), "run: python -m tests.recipe_page"


def test_the_page_names_every_key():
    page = reference_page()
    missing = {dotted(key.path) for key in all_keys() if f"`{dotted(key.path)}" not in page}
    # a key that is not in the reference does not exist for its reader
    assert not missing


def test_every_key_says_what_it_is():
    silent = {
        dotted(key.path)
        for key in all_keys()
        if not key.field.description and key.path[-1] != "kind"
    }
    # help, schema, page and comments all come from it
    assert not silent


def test_examples_in_messages_are_accepted():
    from wellfit.config.reading import read_scalar
    from wellfit.config.structure import wanted
    from wellfit.config.suggest import accepts

    # guards the examples themselves: none is for want of a better one
    leaf_keys = [k for k in all_keys() if not variants(k.field.annotation)]
    examples = {dotted(k.path): (k.field, wanted(k.field).example) for k in leaf_keys}
    refused = [
        key
        for key, (field, text) in examples.items()
        if text[0] not in "['" and not accepts(field, read_scalar(text))
    ]
    assert all(text != "null" for _, text in examples.values())
    # "write for example" must not lead into the next error
    assert not refused


@pytest.mark.parametrize("name", sorted(presets()))
def test_a_preset_is_a_recipe_once_it_has_data(name):
    preset = presets()[name]
    recipe = recipe_from_dict({"preset": name, "data.path": "x"})
    # all that it says is in it
    assert recipe.preset == name
    # it does not choose the data, and says in one line what it is for
    assert "path" not in preset.values.get("data", {})
    assert re.fullmatch(r"[^\n]{10,90}[^.]", preset.about)


def test_the_gpt2_preset_has_the_published_size():
    model = recipe_from_dict({"preset": "gpt2-small", "data.path": "x"}).model
    d, vocab = model.width, 50_257
    block = 4 * d * d + 4 * d + 8 * d * d + 5 * d + 4 * d  # attention, MLP, two layer norms
    total = vocab * d + model.context * d + model.depth * block + 2 * d
    # 124,439,808 parameters: Radford et al. 2019, as counted by transformers for "gpt2"
    assert total == 124_439_808


def test_the_shakespeare_preset_splits_as_nanogpt_does():
    data = recipe_from_dict({"preset": "shakespeare-char", "data.path": "x"}).data
    # the last tenth is val, and there is no test
    assert (data.split.kind, data.split.val, data.split.test) == ("tail", 0.1, 0.0)


def test_every_value_is_explained():
    loaded = load_text(
        "preset: gpt2-small\ndata.path: x\nmodel.depth: 3\n", overrides=["train.seed=7"]
    )
    lines = {line.key: line for line in explain(loaded)}
    # one line for each, in the order of the recipe
    assert list(lines) == [dotted(path) for path, _ in leaves(loaded.recipe)]
    # where from, in the words of the place
    assert [lines[key].origin for key in ("train.seed", "model.depth", "model.width")] == [
        "command line",
        "recipe.yaml:3:1",
        "preset gpt2-small",
    ]
    assert lines["data.encoding"].origin == "default"
    # why: the preset in its own words, and what is still open as such
    assert lines["model.width"].reason == presets()["gpt2-small"].about
    assert "decided before the run" in lines["train.threads"].reason
    # a default that rests on a source names it; the same value from elsewhere does not
    assert "2104.09864" in lines["model.rope_theta"].source
    assert lines["optim.betas"].source == ""


def test_the_schema_describes_the_recipe():
    schema = json_schema()
    definitions = schema["$defs"]
    # every section is closed, so that an editor marks a typo
    assert schema["additionalProperties"] is False
    assert all(part["additionalProperties"] is False for part in definitions.values())
    # every key is described
    properties = [schema["properties"], *(part["properties"] for part in definitions.values())]
    assert all(
        "description" in value or "$ref" in value for p in properties for value in p.values()
    )
    # what a preset can give is not demanded, what none gives is
    assert schema["required"] == ["data"]
    assert definitions["Data"]["required"] == ["path"]
    assert "required" not in definitions["Train"]


def test_a_section_without_a_kind_fits_one_schema_only():
    definitions = json_schema()["$defs"]
    # "one of" refuses what fits two: of each choice all but the default demand their kind
    for names, default in (
        (["Muon", "AdamW"], "Muon"),
        (["Linear", "Cosine", "Wsd", "Constant"], "Linear"),
        (["HashSplit", "TailSplit", "FilesSplit", "ColumnSplit"], "HashSplit"),
    ):
        demanding = [n for n in names if "kind" in definitions[n].get("required", [])]
        assert demanding == [n for n in names if n != default]


def test_defaults_in_the_schema_are_written_as_in_a_recipe():
    schema = json_schema()
    recipe = to_dict(recipe_from_dict({"data.path": "x", "train.budget": "1 epoch"}))
    # a duration is text there, not a pair of number and unit
    assert schema["properties"]["checkpoint"]["default"] == recipe["checkpoint"]
    assert schema["$defs"]["Data"]["properties"]["max_line"]["default"] == "64 MB"


def test_the_package_is_read_without_torch():
    code = (
        "import sys, wellfit.config\n"
        "print([m for m in ('torch', 'numpy', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # help and explain start at once
    assert done.stdout == "[]\n"
