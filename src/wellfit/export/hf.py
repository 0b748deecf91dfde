"""Export to the layout of the `transformers` library, checked by reading it back.

Dims: B texts, T time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wellfit.errors import ConfigError, MissingExtra, WellfitError, need
from wellfit.model import Decoder, Encoder, Ngrams, published_weights, read_model, read_outputs
from wellfit.model.encoder import quietly
from wellfit.model.publish import staged, write_files
from wellfit.store import RunDir
from wellfit.tokenizer import Tokenizer, ends_of_text, load_tokenizer

LOGITS_RTOL = 1e-4  # of the largest logit: float32 sums in another order
_PROBE_TOKENS = 64


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written, and what was checked about it."""

    run: str
    to: str
    path: Path
    files: tuple[str, ...]
    parameters: int
    checked: tuple[str, ...]  # sentences
    logits_max_difference: float | None  # None: transformers is not installed


def export_model(run: RunDir, out: Path) -> ExportReport:
    """Write the run's chosen model to ``out`` as `transformers` wants it, checked.

    Raises ``WellfitError`` when a check fails; then nothing is at ``out``.
    """
    model, tokenizer = read_model(run.model), load_tokenizer(run.model)
    _refuse_what_has_no_class(model, run.model)
    with staged(out) as folder:
        write_files(folder, model, tokenizer, outputs=read_outputs(run.model))
        checked = [_check_weights(folder, model), _check_tokenizer(folder, tokenizer)]
        difference = None
        if isinstance(model, Decoder):  # an encoder is the library's own
            try:
                transformers = need("transformers", extra="hf", why="comparing with transformers")
            except MissingExtra as e:
                checked.append(f"not compared with transformers: {e}")
            else:
                difference = _check_with_transformers(transformers, folder, model, tokenizer)
                same = "transformers reads the same tokens, and its logits differ by at most"
                checked.append(f"{same} {difference:.1e}")
        files = tuple(sorted(inner.name for inner in folder.iterdir()))
    parameters = sum(p.numel() for p in model.parameters())
    return ExportReport(run.name, "hf", out, files, parameters, tuple(checked), difference)


def _refuse_what_has_no_class(model: Decoder | Encoder | Ngrams, folder: Path) -> None:
    """Raise ``ConfigError`` for what no class of transformers computes."""
    shape = model.shape
    if isinstance(model, Ngrams):
        use = f"Use {folder} with wellfit, or train with model.kind: decoder or pretrained"
        raise ConfigError([f"transformers has no class for n-grams. {use}"])
    labelled = isinstance(model, Decoder) and shape.outputs is not None
    if labelled and (shape.pool != "last" or shape.family == "nanochat"):
        why = f"its labels are read from the {shape.pool} of a {shape.family}"
        use = "Use it with wellfit, or train one with task.pool: last and another model.family"
        raise ConfigError([f"no class of transformers computes this model: {why}. {use}"])


def probe_text(tokenizer: Tokenizer, *, context: int) -> str:
    """A short text that the tokenizer can read whatever its alphabet: tokens from all over it."""
    ids = np.unique(np.linspace(0, tokenizer.vocab_size - 1, min(context, _PROBE_TOKENS)).round())
    return tokenizer.decode(ids[ids != tokenizer.eos_id].astype(np.int64))


def _check_weights(folder: Path, model: Decoder | Encoder | Ngrams) -> str:
    wanted, found = _tensors(model), _tensors(read_model(folder))
    same = [k in found and torch.equal(_bits(wanted[k]), _bits(found[k])) for k in wanted]
    if not all(same) or set(wanted) != set(found):
        raise WellfitError(
            f"{same.count(False)} of {len(same)} tensors read back differ from what was written. "
            "The disk may be failing; try another directory"
        )
    return f"{len(wanted)} tensors read back equal bit for bit"


def _tensors(model: Decoder | Encoder | Ngrams) -> dict[str, Tensor]:
    return published_weights(model) if isinstance(model, Decoder) else model.state_dict()


def _bits(tensor: Tensor) -> Tensor:
    """What a tensor is made of; by its values, a NaN would equal nothing."""
    return tensor.reshape(-1).view(torch.uint8)


def _check_tokenizer(folder: Path, tokenizer: Tokenizer) -> str:
    if load_tokenizer(folder).fingerprint != tokenizer.fingerprint:
        raise WellfitError("the tokenizer read back is not the one that was written")
    return "the tokenizer read back is the same"


def _check_with_transformers(
    transformers: ModuleType, folder: Path, decoder: Decoder, tokenizer: Tokenizer
) -> float:
    """The largest difference of a logit on the probe text.  Raises ``WellfitError``."""
    text = probe_text(tokenizer, context=decoder.shape.context)
    labelled, context = decoder.shape.outputs is not None, decoder.shape.context
    before, after = ends_of_text(tokenizer) if labelled else ((), ())
    ids = [*before, *tokenizer.encode(text).tolist(), *after][:context]
    with quietly(transformers):
        reader = transformers.AutoTokenizer.from_pretrained(folder)
        theirs = reader(text, add_special_tokens=labelled)["input_ids"][:context]
        model, loading = class_for(transformers, decoder).from_pretrained(
            folder,
            dtype=torch.float32,
            output_loading_info=True,
            attn_implementation="eager",  # the one that knows every family's ways
        )
    if theirs != ids:
        raise WellfitError(f"transformers reads the probe text as {theirs}, and wellfit as {ids}")
    odd = {kind: sorted(names) for kind, names in loading.items() if names}
    if odd:
        raise WellfitError(f"transformers does not take all of the weights as they are: {odd}")
    tokens_BT = torch.tensor([ids])
    with torch.inference_mode():
        theirs_logits = model.eval()(tokens_BT).logits
    ours = logits_of(decoder, tokens_BT)
    return difference_between(ours, theirs_logits, names="transformers and wellfit")


def class_for(transformers: ModuleType, decoder: Decoder) -> Any:
    """The class that computes what the decoder does."""
    if decoder.shape.outputs is None:
        return transformers.AutoModelForCausalLM
    return transformers.AutoModelForSequenceClassification


@torch.inference_mode()
def logits_of(decoder: Decoder, tokens_BT: Tensor) -> Tensor:
    """Of the next token at each place, or the outputs of a labelled task."""
    if decoder.shape.outputs is None:
        logits: Tensor = decoder(tokens_BT)
        return logits
    B, T = tokens_BT.shape
    return decoder.outputs_of(tokens_BT, torch.full((B,), T))


def difference_between(ours: Tensor, theirs: Tensor, *, names: str) -> float:
    """The largest difference of a logit.  Raises ``WellfitError`` where it is not rounding."""
    difference, largest = float((theirs - ours).abs().max()), float(ours.abs().max())
    if not difference <= LOGITS_RTOL * max(1.0, largest):
        raise WellfitError(
            f"logits differ by {difference:.1e} between {names}, "
            f"more than {LOGITS_RTOL:.0e} of the largest, {largest:.3g}"
        )
    return difference
