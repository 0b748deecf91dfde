"""The family and the sizes that a model section resolves to, and what is refused."""

from __future__ import annotations

import itertools

import pytest

from wellfit.config import Decoder
from wellfit.errors import ConfigError
from wellfit.model import explain_shape
from wellfit.model.families import ORDER


def resolve(**fields):
    return explain_shape(Decoder(**fields), vocab=65).shape


def problems(**fields) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(**fields)
    return caught.value.problems


@pytest.mark.parametrize(
    ("fields", "family"),
    [
        ({}, "nanochat"),
        ({"softcap": None, "head": "tied", "mlp": "gelu"}, "nanochat"),
        ({"softcap": 30.0}, "nanochat"),
        ({"mlp": "swiglu"}, "llama"),
        ({"qk_norm": False, "norm": "rms"}, "llama"),
        ({"bias": True}, "llama"),
        ({"mlp": "swiglu", "qk_norm": True}, "qwen3"),
        ({"norm": "layer"}, "gpt2"),
        ({"position": "learned"}, "gpt2"),
        ({"bias": True, "mlp": "gelu"}, "gpt2"),
        ({"qk_norm": False, "mlp": "relu2"}, "gpt2"),
    ],
)
def test_auto_takes_the_first_family_that_allows_every_setting(fields, family):
    shape = resolve(**fields)
    # in the order nanochat, llama, qwen3, gpt2
    assert shape.family == family
    # and what was asked for is what one gets
    asked = {**fields, "tied": fields.get("head") == "tied"} if "head" in fields else fields
    asked = {k: v for k, v in asked.items() if k != "head"}
    assert {k: getattr(shape, k) for k in asked} == asked


@pytest.mark.parametrize("family", ORDER)
def test_a_named_family_does_what_it_does_elsewhere(family):
    shape = resolve(family=family)
    usual = {
        "nanochat": ("rms", "rope", "relu2", True, False, False, 15.0),
        "llama": ("rms", "rope", "swiglu", False, False, False, None),
        "qwen3": ("rms", "rope", "swiglu", True, False, False, None),
        "gpt2": ("layer", "learned", "gelu", False, True, True, None),
    }
    found = (shape.norm, shape.position, shape.mlp, shape.qk_norm, shape.bias, shape.tied)
    # as the published models of that name
    assert (*found, shape.softcap) == usual[family]


def test_every_combination_is_a_family_or_an_error():
    values = {
        "norm": ("rms", "layer"),
        "position": ("rope", "learned"),
        "mlp": ("swiglu", "gelu", "relu2"),
        "qk_norm": (True, False),
        "bias": (True, False),
        "head": ("tied", "untied"),
    }
    found = []
    for combination in itertools.product(*values.values()):
        try:
            found.append(resolve(**dict(zip(values, combination, strict=True))).family)
        except ConfigError:
            pass
    # counted by hand: 2 nanochat MLPs, 2 llama biases, 1 qwen3, 2 gpt2 MLPs with 2 biases, each
    # tied or not
    assert {f: found.count(f) for f in ORDER} == {"nanochat": 4, "llama": 4, "qwen3": 2, "gpt2": 8}


def test_settings_that_no_family_joins_are_named_with_what_there_is():
    (text,) = problems(norm="layer", position="rope", head="tied")
    # the smallest set that clashes, and not the innocent one
    assert "no family offers norm: layer with position: rope." in text
    # and what each family offers
    assert "gpt2: norm layer, position learned" in text and "qwen3: norm rms" in text


def test_every_clash_is_named():
    (text,) = problems(softcap=5.0, mlp="swiglu", norm="layer")
    # three settings, each two of which clash
    for clash in ("norm: layer with mlp: swiglu", "norm: layer with softcap: 5.0"):
        assert clash in text
    assert "mlp: swiglu with softcap: 5.0" in text


def test_a_named_family_refuses_each_setting_it_lacks():
    texts = problems(family="llama", softcap=5.0, qk_norm=True, head="tied")
    # all at once, each with who would allow it
    assert [t.split(";")[0] for t in texts] == [
        "model.qk_norm: family llama does not allow qk_norm: true",
        "model.softcap: family llama does not allow softcap: 5.0",
    ]
    assert "; nanochat, qwen3 would" in texts[0]


@pytest.mark.parametrize("setting", [{"rope_theta": 500.0}, {"heads": 4, "kv_heads": 2}])
def test_a_setting_without_effect_in_the_family_is_refused(setting):
    (text,) = problems(family="gpt2", **setting)
    # nothing is dropped in silence
    assert text.startswith(f"model.{list(setting)[-1]}: family gpt2 does not allow")


@pytest.mark.parametrize(
    ("depth", "width", "heads", "context"),
    [
        (1, 128, 2, 256),
        (2, 128, 2, 256),
        (4, 256, 4, 256),
        (12, 768, 12, 512),
        (64, 4096, 64, 2048),
    ],
)
def test_sizes_follow_from_depth(depth, width, heads, context):
    shape = resolve(depth=depth)
    # one dial
    assert (shape.width, shape.heads, shape.kv_heads) == (width, heads, heads)
    assert (shape.head_dim, shape.context, shape.mlp_width) == (64, context, 4 * width)


def test_a_gate_makes_the_mlp_narrower():
    # 8/3 of 256 is 682.7, and 704 is 11 * 64
    assert resolve(family="llama", depth=4).mlp_width == 704


@pytest.mark.parametrize(
    ("fields", "heads", "width"),
    [
        ({"width": 192}, 3, 192),
        ({"width": 100}, 2, 100),
        ({"width": 384, "kv_heads": 4}, 8, 384),
        ({"depth": 4, "heads": 3}, 3, 258),
        ({"depth": 4, "heads": 6, "kv_heads": 2}, 6, 264),
    ],
)
def test_open_sizes_fit_those_that_are_set(fields, heads, width):
    shape = resolve(**fields)
    # what is set stays, what is open divides it, and rotary positions get even heads
    assert (shape.heads, shape.width) == (heads, width)
    assert shape.head_dim * heads == width and shape.head_dim % 2 == 0


def test_sizes_that_cannot_be_are_refused_together_with_the_family():
    texts = problems(width=100, kv_heads=3, norm="layer", mlp="swiglu")
    # all problems at once
    assert [t.partition(":")[0] for t in texts] == ["model.kv_heads", "model"]


@pytest.mark.parametrize(
    ("fields", "key", "advice"),
    [
        ({"width": 30, "heads": 2}, "model.heads", "write model.width: 32"),
        ({"width": 63, "heads": 9}, "model.heads", "even number"),
    ],
)
def test_rotary_positions_want_even_heads(fields, key, advice):
    (text,) = problems(**fields)
    # what is wrong, and what to write
    assert text.startswith(key) and advice in text
    # learned positions do not mind
    assert resolve(**fields, position="learned").width == fields["width"]


@pytest.mark.parametrize(
    "fields", [{}, {"norm": "layer"}, {"mlp": "swiglu", "kv_heads": 2}, {"bias": True, "heads": 2}]
)
def test_writing_down_every_choice_changes_nothing(fields):
    first = explain_shape(Decoder(**fields), vocab=65)
    chosen = {key.removeprefix("model."): choice.value for key, choice in first.choices.items()}
    again = explain_shape(Decoder(**fields, **chosen), vocab=65)
    # a resumed run decides nothing: what was chosen is all there is to choose
    assert again.shape == first.shape and again.choices == {}


def test_every_choice_says_why():
    choices = explain_shape(Decoder(depth=6), vocab=65).choices
    # each open key, with a reason and what it rests on
    assert {"model.family", "model.width", "model.mlp_width", "model.softcap"} <= set(choices)
    assert all(choice.reason and choice.source for choice in choices.values())
    assert choices["model.width"].reason == "64 per block at depth 6, at least 128"
