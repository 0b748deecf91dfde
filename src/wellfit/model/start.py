"""The model that a recipe asks for: of random weights, or a published one to go on training."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, assert_never

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from wellfit.config import Decoder as DecoderRecipe
from wellfit.config import Ngrams as NgramsRecipe
from wellfit.config.model import Model, Pretrained
from wellfit.errors import CheckpointError, ConfigError
from wellfit.model.decoder import Decoder
from wellfit.model.encoder import ENCODERS, Encoder, encoder_shape, load_encoder
from wellfit.model.families import Resolved, explain_shape
from wellfit.model.init import build_decoder
from wellfit.model.laws import Choice
from wellfit.model.lora import add_lora
from wellfit.model.ngrams import NGRAMS, Ngrams, ngram_shape, read_ngram_shape
from wellfit.model.publish import CONFIG, read_config, read_outputs, read_published, weight_files
from wellfit.model.settings import published_shape
from wellfit.model.shape import Pool, Shape
from wellfit.tokenizer import local_folder

USUAL_CONTEXT = 1024


def resolve_model(
    cfg: Model, *, vocab: int, outputs: int | None = None, pool: Pool | Literal["auto"] = "auto"
) -> Resolved:
    """The shape of the model that the recipe asks for, with the reason for each open value.

    ``vocab`` is the tokenizer's; a published model may have more, as many are padded, and its shape
    keeps them.  With ``outputs`` it has a head for a labelled task instead of the vocabulary's.

    Raises ``ConfigError`` with every problem found.
    """
    usual: Pool = "mean"
    match cfg:
        case DecoderRecipe():
            found = explain_shape(cfg, vocab=vocab)
        case Pretrained():
            found, usual = _published(cfg, vocab=vocab, outputs=outputs), "last"
            if found.shape.family == "encoder" and pool != "auto":
                raise ConfigError(["task.pool: an encoder has its own way; leave it out, or auto"])
        case NgramsRecipe():
            return _ngrams(cfg, vocab=vocab, outputs=outputs, pool=pool)
        case never:
            assert_never(never)
    if outputs is None:
        return found
    pool = usual if pool == "auto" else pool
    return Resolved(replace(found.shape, outputs=outputs, pool=pool), found.choices)


def _ngrams(cfg: NgramsRecipe, *, vocab: int, outputs: int | None, pool: str) -> Resolved:
    if outputs is None:
        what = "n-grams give texts labels and write none; write task.kind: classify or regress"
        raise ConfigError([f"model.kind: {what}, or model.kind: decoder"])
    if pool != "auto":
        raise ConfigError(["task.pool: n-grams are summed; leave it out, or auto"])
    kinds = {"orders": cfg.orders, "words": cfg.words, "pairs": cfg.pairs, "buckets": cfg.buckets}
    return Resolved(ngram_shape(**kinds, vocab=vocab, context=cfg.context, outputs=outputs), {})


def _published(cfg: Pretrained, *, vocab: int, outputs: int | None) -> Resolved:
    folder = local_folder(cfg.path)
    config, where = read_config(folder), str(folder / CONFIG)
    shape_of = encoder_shape if config.get("model_type") in ENCODERS else published_shape
    shape, problems = shape_of(config, where=where), []
    if shape.family == "encoder" and outputs is None:
        problems.append(
            f"model.path: {cfg.path} is an encoder, which writes no text; "
            "write task.kind: classify or regress, or name a decoder"
        )
    if shape.family == "encoder" and cfg.lora is not None:
        problems.append("model.lora: stands beside decoders only; leave it out for an encoder")
    if vocab > shape.vocab:
        problems.append(
            f"tokenizer: it has {vocab} tokens, and the embedding of {cfg.path} has {shape.vocab}, "
            "so some would have no vector. Leave tokenizer out to use the model's own"
        )
    if shape.outputs is not None and outputs is None:
        problems.append(
            f"model.path: {cfg.path} gives texts labels and has no layer that predicts tokens; "
            "name a language model, or a task with labels"
        )
    if cfg.context != "auto" and cfg.context > shape.context:
        problems.append(
            f"model.context: {cfg.context} is more than the {shape.context} tokens that {cfg.path} "
            f"can look back; write {shape.context} or less, or auto"
        )
    if problems:
        raise ConfigError(problems)
    choices = {"model.path": Choice(str(folder.absolute()), "the same files from anywhere", "")}
    context = shape.context if cfg.context == "auto" else cfg.context
    if cfg.context == "auto":
        context = min(context, USUAL_CONTEXT)
        reason = f"it can look back {shape.context} tokens; more than {USUAL_CONTEXT} cost much"
        choices["model.context"] = Choice(context, reason, "config.json")
    return Resolved(replace(shape, context=context, outputs=None), choices)


def read_model(folder: Path) -> Decoder | Encoder | Ngrams:
    """The model in a published directory, ours or anyone's; raises as ``read_published`` does."""
    config, where = read_config(folder), str(folder / CONFIG)
    if config.get("model_type") not in (NGRAMS, *ENCODERS):
        return read_published(folder)
    files, outputs = weight_files(folder), read_outputs(folder)
    if outputs is None:
        what = "holds an encoder that was not trained for labels; name a language model"
        raise ConfigError([f"{folder} {what}"])
    if config["model_type"] != NGRAMS:
        shape = encoder_shape(config, where=where)
        return load_encoder(folder, replace(shape, outputs=len(outputs.names)), seed=0)
    model = Ngrams(read_ngram_shape(config, outputs, where=where))
    try:
        model.load_state_dict(load_file(files[0]))
    except (OSError, SafetensorError, RuntimeError) as e:
        raise CheckpointError(
            f"the weights in {folder} do not fit: {e}. Copy or download them again"
        ) from e
    return model


def build_model(cfg: Model, shape: Shape, *, seed: int, weights: bool = True) -> Any:
    """The model before step 0, in float32 on the CPU: drawn from the seed, or as published.

    A ``Decoder``, an ``Encoder`` or ``Ngrams``, which labelled tasks use alike.

    A head for a labelled task starts at zero, so that at first every answer is alike.  Without
    ``weights`` those of a published model are left out, to be filled from a checkpoint that holds
    all that is trained; those that stay frozen beside LoRA are read all the same.

    Raises ``CheckpointError`` for published weights that do not fit.
    """
    if isinstance(cfg, DecoderRecipe):
        return build_decoder(shape, seed=seed)
    if isinstance(cfg, NgramsRecipe):
        return Ngrams(shape)
    folder = local_folder(cfg.path)
    if shape.family == "encoder":
        if weights:
            weight_files(folder)  # refuses what could run code, or lead out of the folder
        return load_encoder(folder, shape, seed=seed, weights=weights)
    if not weights and cfg.lora is None:
        return Decoder(shape)
    decoder = read_published(folder, shape)
    if decoder.score is not None:
        nn.init.zeros_(decoder.score.weight)
    if cfg.lora is not None:
        add_lora(decoder, cfg.lora, seed=seed)
    return decoder


def weights_digest(path: str) -> str:
    """sha256, in hex, of a published model's weights, file by file."""
    digest = hashlib.sha256()
    for file in weight_files(local_folder(path)):
        with file.open("rb") as f:
            digest.update(hashlib.file_digest(f, "sha256").digest())
    return digest.hexdigest()
