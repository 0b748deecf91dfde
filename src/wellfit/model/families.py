"""From the recipe's model section to a Shape: which family, and every size.

A family is an architecture that the `transformers` library implements.  The table below is what
each one can express; what none can express is refused, because nobody else could load it.
"""

from __future__ import annotations

import itertools
from typing import Any, Literal, NamedTuple

from wellfit.config.model import Decoder as DecoderRecipe
from wellfit.errors import ConfigError
from wellfit.model import laws
from wellfit.model.laws import Choice
from wellfit.model.shape import Family, Shape

ORDER: tuple[Family, ...] = ("nanochat", "llama", "qwen3", "gpt2")
"""Families in the order in which ``family: auto`` tries them."""

_PLAIN_THETA = 10_000.0  # the recipe's default, so not a wish


class Offer(NamedTuple):
    """What a family allows for each knob; the first is what it does when nothing is said."""

    norm: tuple[Literal["rms", "layer"], ...]
    position: tuple[Literal["rope", "learned"], ...]
    mlp: tuple[Literal["swiglu", "gelu", "relu2"], ...]
    qk_norm: tuple[bool, ...]
    bias: tuple[bool, ...]
    head: tuple[Literal["tied", "untied"], ...]
    softcap: float | None  # None: it has no cap
    grouped: bool  # fewer key-value heads than heads
    norm_gain: bool
    norm_eps: float
    embed_norm: bool
    rope_sign: Literal[1, -1]


OFFERS: dict[Family, Offer] = {
    "nanochat": Offer(
        norm=("rms",),
        position=("rope",),
        mlp=("relu2", "gelu"),
        qk_norm=(True,),
        bias=(False,),
        head=("untied", "tied"),
        softcap=15.0,
        grouped=True,
        norm_gain=False,
        norm_eps=1e-6,
        embed_norm=True,
        rope_sign=-1,
    ),
    "llama": Offer(
        norm=("rms",),
        position=("rope",),
        mlp=("swiglu",),
        qk_norm=(False,),
        bias=(False, True),
        head=("untied", "tied"),
        softcap=None,
        grouped=True,
        norm_gain=True,
        norm_eps=1e-5,
        embed_norm=False,
        rope_sign=1,
    ),
    "qwen3": Offer(
        norm=("rms",),
        position=("rope",),
        mlp=("swiglu",),
        qk_norm=(True,),
        bias=(False,),
        head=("untied", "tied"),
        softcap=None,
        grouped=True,
        norm_gain=True,
        norm_eps=1e-6,
        embed_norm=False,
        rope_sign=1,
    ),
    "gpt2": Offer(
        norm=("layer",),
        position=("learned",),
        mlp=("gelu", "relu2"),
        qk_norm=(False,),
        bias=(True,),
        head=("tied", "untied"),
        softcap=None,
        grouped=False,
        norm_gain=True,
        norm_eps=1e-5,
        embed_norm=False,
        rope_sign=1,
    ),
}
_KNOBS = ("norm", "position", "mlp", "qk_norm", "bias", "head")


class Resolved(NamedTuple):
    """A shape, and why each value that the recipe left open is what it is, by dotted key."""

    shape: Shape
    choices: dict[str, Choice]


def resolve_shape(cfg: DecoderRecipe, *, vocab: int) -> Shape:
    """The shape that the model section asks for.  Raises ``ConfigError`` with every problem."""
    return explain_shape(cfg, vocab=vocab).shape


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
    offer = OFFERS[family]
    usual = {knob: getattr(offer, knob)[0] for knob in _KNOBS if knob not in knobs}
    usual |= {"softcap": offer.softcap} if cfg.softcap == "auto" else {}
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
    shape = _shape(cfg, family, taken, sizes, vocab=vocab)
    return Resolved(shape, {f"model.{key}": choice for key, choice in choices.items()})


def _shape(
    cfg: DecoderRecipe, family: Family, taken: dict[str, Any], sizes: dict[str, Any], *, vocab: int
) -> Shape:
    offer = OFFERS[family]
    return Shape(
        **sizes,
        family=family,
        vocab=vocab,
        depth=cfg.depth,
        head_dim=sizes["width"] // sizes["heads"],
        norm=taken["norm"],
        norm_gain=offer.norm_gain,
        norm_eps=offer.norm_eps,
        embed_norm=offer.embed_norm,
        position=taken["position"],
        rope_theta=cfg.rope_theta,
        rope_sign=offer.rope_sign,
        qk_norm=taken["qk_norm"],
        mlp=taken["mlp"],
        bias=taken["bias"],
        tied=taken["head"] == "tied",
        softcap=taken["softcap"],
    )


def _sizes(cfg: DecoderRecipe, problems: list[str]) -> tuple[dict[str, Choice], dict[str, int]]:
    """Width, heads, key-value heads, context, MLP if set: what was chosen, and all of them."""
    choices: dict[str, Choice] = {}
    width, heads, kv_heads, context = cfg.width, cfg.heads, cfg.kv_heads, cfg.context
    if width == "auto":
        choices["width"] = laws.width(cfg.depth, heads=None if heads == "auto" else heads)
        width = int(choices["width"].value)
    if heads == "auto":
        fitting = laws.heads(width, kv_heads=None if kv_heads == "auto" else kv_heads)
        if fitting is None:
            problems.append(
                f"model.kv_heads: {kv_heads} does not divide width {width}, so no number of heads "
                "fits both; write another model.kv_heads, or model.width too"
            )
            fitting = laws.heads(width, kv_heads=None)
            kv_heads = "auto"
        assert fitting is not None, width  # one head always fits
        choices["heads"] = fitting
        heads = int(fitting.value)
    elif width % heads:
        problems.append(
            f"model.heads: width {width} does not divide into {heads} heads; "
            f"write model.width: {heads * max(1, round(width / heads))}, or model.heads: auto"
        )
    if kv_heads == "auto":
        choices["kv_heads"] = laws.kv_heads(heads)
        kv_heads = heads
    elif heads % kv_heads:
        problems.append(
            f"model.kv_heads: {heads} heads do not divide among {kv_heads} key and value heads; "
            f"write one of {', '.join(str(n) for n in range(1, heads + 1) if heads % n == 0)}"
        )
    if context == "auto":
        choices["context"] = laws.context(cfg.depth)
        context = int(choices["context"].value)
    sizes = {"width": width, "heads": heads, "kv_heads": kv_heads, "context": context}
    return choices, sizes | ({} if cfg.mlp_width == "auto" else {"mlp_width": cfg.mlp_width})


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
    offer = OFFERS[family]
    match knob:
        case "softcap":
            return offer.softcap is not None
        case "kv_heads":
            return offer.grouped
        case "rope_theta":
            return "rope" in offer.position
        case _:
            return value in getattr(offer, knob)


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
    offer = OFFERS[family]
    parts = [f"{k} {' or '.join(str(v).lower() for v in getattr(offer, k))}" for k in _KNOBS]
    parts.append("no softcap" if offer.softcap is None else "any softcap")
    parts += [] if offer.grouped else ["kv_heads as many as heads"]
    parts += [] if "rope" in offer.position else ["no rope_theta"]
    return ", ".join(parts)
