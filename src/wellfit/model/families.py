"""From the recipe's model section to a Shape: which family, and every size.

A family is an architecture that the `transformers` library implements.  A layout says what
each one can express; what none can express is refused, because nobody else could load it.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

from wellfit.config.model import Decoder as DecoderRecipe
from wellfit.errors import ConfigError
from wellfit.model import laws
from wellfit.model.laws import Choice
from wellfit.model.layouts import LAYOUTS, Layout
from wellfit.model.shape import Family, Shape

ORDER: tuple[Family, ...] = ("nanochat", "llama", "qwen3", "gpt2")
"""Families in the order in which ``family: auto`` tries them."""

_PLAIN_THETA = 10_000.0  # the recipe's default, so not a wish
_CAP = "final_logit_softcapping"  # the setting of families that can bound their logits


def _offer(layout: Layout) -> dict[str, tuple[Any, ...]]:
    """What a family allows for each knob; the first is what it does when nothing is said."""
    fixed = {"norm": "rms", "position": "rope", "qk_norm": False, **layout.fixed}
    tied = layout.keys.get("tie_word_embeddings", False)
    return {
        "norm": (fixed["norm"],),
        "position": (fixed["position"],),
        "mlp": layout.mlp,
        "qk_norm": (fixed["qk_norm"],),
        "bias": layout.bias,
        "head": ("tied", "untied") if tied else ("untied", "tied"),
    }


_OFFERS = {family: _offer(LAYOUTS[family]) for family in ORDER}


class Resolved(NamedTuple):
    """A shape, and why each value that the recipe left open is what it is, by dotted key."""

    shape: Shape
    choices: dict[str, Choice]


def explain_shape(cfg: DecoderRecipe, *, vocab: int) -> Resolved:
    """The shape, with the reason for each value that was open.

    A recipe in which every choice has been filled in resolves to the same shape again.

    Raises ``ConfigError`` with every problem found.
    """
    problems: list[str] = []
    choices, sizes = _sizes(cfg, problems)
    knobs = _knobs(cfg, grouped=sizes["kv_heads"] < sizes["heads"])
    family = _family(cfg, knobs, problems)
    if family is None:
        raise ConfigError(problems)
    if cfg.family == "auto":
        reason = f"the first of {', '.join(ORDER)} that allows every setting"
        choices["family"] = Choice(family, reason, "the families of transformers")
    layout = LAYOUTS[family]
    usual = {knob: allowed[0] for knob, allowed in _OFFERS[family].items() if knob not in knobs}
    if cfg.softcap == "auto":
        usual["softcap"] = layout.keys.get(_CAP)
    choices |= {knob: Choice(v, f"as {family} does", family) for knob, v in usual.items()}
    taken = {"softcap": cfg.softcap, **knobs, **usual}
    if cfg.mlp_width == "auto":
        choices["mlp_width"] = laws.mlp_width(sizes["width"], taken["mlp"])
        sizes["mlp_width"] = choices["mlp_width"].value
    head_dim = sizes["width"] // sizes["heads"]
    if taken["position"] == "rope" and head_dim % 2 and not problems:
        even = 2 * sizes["heads"]
        width = (sizes["width"] // even + 1) * even
        problems.append(
            f"model.heads: {sizes['heads']} heads at width {sizes['width']} are {head_dim} wide, "
            f"and rotary positions need an even number; write model.width: {width}"
        )
    if problems:
        raise ConfigError(problems)
    shape = Shape(
        **sizes,
        **{**layout.fixed, "bias": taken["bias"], "mlp": taken["mlp"]},
        family=family,
        vocab=vocab,
        depth=cfg.depth,
        head_dim=head_dim,
        norm_eps=layout.norm_eps,
        rope_theta=cfg.rope_theta,
        tied=taken["head"] == "tied",
        softcap=taken["softcap"],
    )
    return Resolved(shape, {f"model.{key}": choice for key, choice in choices.items()})


def _sizes(cfg: DecoderRecipe, problems: list[str]) -> tuple[dict[str, Choice], dict[str, Any]]:
    """Width, heads, key-value heads, context, MLP if set: what was chosen, and all of them."""
    choices: dict[str, Choice] = {}
    asked = {"width": cfg.width, "heads": cfg.heads, "kv_heads": cfg.kv_heads}
    asked |= {"context": cfg.context, "mlp_width": cfg.mlp_width}
    sizes: dict[str, Any] = {key: value for key, value in asked.items() if value != "auto"}

    def choose(key: str, choice: Choice) -> None:
        choices[key], sizes[key] = choice, choice.value

    if cfg.width == "auto":
        choose("width", laws.width(cfg.depth, heads=sizes.get("heads")))
    if cfg.heads == "auto":
        fitting = laws.heads(sizes["width"], kv_heads=sizes.get("kv_heads"))
        if fitting is None:
            problems.append(
                f"model.kv_heads: {cfg.kv_heads} does not divide width {sizes['width']}, so no "
                "number of heads fits both; write another model.kv_heads, or model.width too"
            )
            fitting = laws.heads(sizes["width"], kv_heads=None)
            assert fitting is not None, sizes  # one head always fits
            sizes["kv_heads"] = fitting.value
        choose("heads", fitting)
    if cfg.kv_heads == "auto":
        choose("kv_heads", laws.kv_heads(sizes["heads"]))
    if cfg.context == "auto":
        choose("context", laws.context(cfg.depth))
    # the recipe refuses numbers of heads that do not divide what was set
    assert sizes["width"] % sizes["heads"] == 0 == sizes["heads"] % sizes["kv_heads"], sizes
    return choices, sizes


def _knobs(cfg: DecoderRecipe, *, grouped: bool) -> dict[str, Any]:
    """The wishes that a family must allow: knobs that were set, and what sizes imply."""
    asked: dict[str, Any] = {
        "norm": cfg.norm,
        "position": cfg.position,
        "mlp": cfg.mlp,
        "qk_norm": cfg.qk_norm,
        "bias": cfg.bias,
        "head": cfg.head,
        "softcap": None if cfg.softcap == "auto" else cfg.softcap,
        "kv_heads": cfg.kv_heads if grouped else None,
        "rope_theta": None if cfg.rope_theta == _PLAIN_THETA else cfg.rope_theta,
    }
    return {knob: value for knob, value in asked.items() if value is not None}


def _allows(family: Family, knob: str, value: Any) -> bool:
    if knob in ("kv_heads", "rope_theta"):
        return _turns(family)
    if knob == "softcap":
        return _CAP in LAYOUTS[family].keys
    return value in _OFFERS[family][knob]


def _turns(family: Family) -> bool:
    """Whether its positions are rotary; all such families can share key and value heads too."""
    return _OFFERS[family]["position"] == ("rope",)


def _family(cfg: DecoderRecipe, knobs: dict[str, Any], problems: list[str]) -> Family | None:
    """The family to be, or None after saying what stands in the way."""
    if cfg.family != "auto":
        refused = [knob for knob in knobs if not _allows(cfg.family, knob, knobs[knob])]
        problems += [_refused(cfg.family, knob, knobs[knob]) for knob in refused]
        return None if refused else cfg.family
    fitting = [f for f in ORDER if all(_allows(f, knob, knobs[knob]) for knob in knobs)]
    if fitting:
        return fitting[0]
    clashes = [" with ".join(_said(k, knobs[k]) for k in clash) for clash in _clashes(knobs)]
    offered = "\n".join(f"  {family}: {_offered(family)}" for family in ORDER)
    problems.append(
        f"model: no family offers {'; nor '.join(clashes)}. Each family offers:\n{offered}\n"
        "  Leave one of the settings out, and it follows from the others"
    )
    return None


def _clashes(knobs: dict[str, Any]) -> list[tuple[str, ...]]:
    """The smallest sets of knobs that no family allows together."""
    found: list[tuple[str, ...]] = []
    for size in range(1, len(knobs) + 1):
        for group in itertools.combinations(knobs, size):
            smaller = any(set(clash) <= set(group) for clash in found)
            allowed = any(all(_allows(f, k, knobs[k]) for k in group) for f in ORDER)
            if not smaller and not allowed:
                found.append(group)
    return found


def _refused(family: Family, knob: str, value: Any) -> str:
    others = [f for f in ORDER if _allows(f, knob, value)]
    advice = f"; {', '.join(others)} would" if others else ""
    return (
        f"model.{knob}: family {family} does not allow {_said(knob, value)}{advice}. "
        f"{family} offers {_offered(family)}"
    )


def _said(knob: str, value: Any) -> str:
    """A knob as one types it."""
    if knob == "kv_heads":
        return f"kv_heads: {value} (fewer than heads)"
    return f"{knob}: {str(value).lower()}"


def _offered(family: Family) -> str:
    parts = [
        f"{knob} {' or '.join(str(value).lower() for value in allowed)}"
        for knob, allowed in _OFFERS[family].items()
    ]
    parts.append("any softcap" if _CAP in LAYOUTS[family].keys else "no softcap")
    parts += [] if _turns(family) else ["kv_heads as many as heads", "no rope_theta"]
    return ", ".join(parts)
