"""Where training starts: from random weights, or from those of a published model."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from tests.tiny_models import SHAPES, random_decoder, random_tokens, tiny_tokenizer
from wellfit.config import Decoder as DecoderRecipe
from wellfit.config import Lora, Pretrained
from wellfit.errors import CheckpointError, ConfigError
from wellfit.model import (
    Decoder,
    Outputs,
    build_decoder,
    build_model,
    resolve_model,
    weights_digest,
    write_published,
)

VOCAB = 37
LABELS = Outputs(("no", "yes"), "single_label_classification")


def publish(folder: Path, name: str = "gpt2") -> Decoder:
    decoder = random_decoder(SHAPES[name])
    write_published(folder, decoder, tiny_tokenizer(separate=True))
    return decoder


def asked(folder: Path, **fields: object) -> Pretrained:
    return Pretrained(path=str(folder), **fields)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3_text"])
def test_a_shorter_context_is_the_same_model_up_to_there(name, tmp_path):
    published = publish(tmp_path / "m", name)
    cfg = asked(tmp_path / "m", context=9)
    started = build_model(cfg, resolve_model(cfg, vocab=VOCAB).shape, seed=1)
    tokens_BT = random_tokens(2, 9)
    # the first positions are those of the longer one
    assert torch.equal(started(tokens_BT), published(tokens_BT))
    with pytest.raises(ValueError, match="context of 9"):
        started(random_tokens(2, 10))


def test_an_open_context_is_what_the_model_was_made_for_or_less(tmp_path, monkeypatch):
    publish(tmp_path / "m")
    shape, choices = resolve_model(asked(tmp_path / "m"), vocab=VOCAB)
    # 24 tokens, and from where the model comes
    assert shape == SHAPES["gpt2"] and choices["model.context"].value == 24
    assert choices["model.path"].value == str(tmp_path / "m")
    monkeypatch.setattr("wellfit.model.start.USUAL_CONTEXT", 16)
    # longer ones cost much
    assert resolve_model(asked(tmp_path / "m"), vocab=VOCAB).shape.context == 16


def test_what_model_and_tokenizer_cannot_be_together_is_said_at_once(tmp_path):
    publish(tmp_path / "m")
    with pytest.raises(ConfigError) as caught:
        resolve_model(asked(tmp_path / "m", context=25), vocab=40)
    tokens, context = caught.value.problems
    # which of the two has how many
    assert tokens.startswith("tokenizer: it has 40 tokens") and "m has 37" in tokens
    assert context.startswith("model.context: 25 is more than the 24 tokens")
    # an embedding with vectors to spare is what many published models have
    assert resolve_model(asked(tmp_path / "m"), vocab=30).shape.vocab == 37


def test_a_labelled_task_starts_with_every_answer_alike(tmp_path):
    published = publish(tmp_path / "m", "llama")
    cfg = asked(tmp_path / "m")
    shape = resolve_model(cfg, vocab=VOCAB, outputs=3).shape
    started = build_model(cfg, shape, seed=1)
    tokens_BT = random_tokens(2, 9)
    # zero, whatever the text, read from the last token as the family's own classes do
    assert not started.outputs_of(tokens_BT, torch.tensor([9, 4])).any()
    assert shape.pool == "last"
    # all else is the published model
    assert torch.equal(started.hidden(tokens_BT), published.hidden(tokens_BT))
    # of random weights, the mean over the text
    fresh = resolve_model(DecoderRecipe(), vocab=VOCAB, outputs=3).shape
    assert (fresh.outputs, fresh.pool) == (3, "mean")
    assert not build_decoder(fresh, seed=1).score.weight.any()


def test_a_classifier_can_be_taught_other_labels_and_no_text(tmp_path):
    cfg = asked(tmp_path / "m")
    publish(tmp_path / "base", "llama")
    shape = resolve_model(asked(tmp_path / "base"), vocab=VOCAB, outputs=2).shape
    classifier = random_decoder(shape)
    write_published(tmp_path / "m", classifier, tiny_tokenizer(separate=True), outputs=LABELS)
    started = build_model(cfg, resolve_model(cfg, vocab=VOCAB, outputs=5).shape, seed=1)
    # its body, and a head of five answers
    assert torch.equal(started.embed.weight, classifier.embed.weight)
    assert started.score.weight.shape == (5, 32) and not started.score.weight.any()
    with pytest.raises(ConfigError, match="has no layer that predicts tokens"):
        resolve_model(cfg, vocab=VOCAB)


def test_weights_that_a_checkpoint_holds_are_not_needed_again(tmp_path):
    publish(tmp_path / "m")
    cfg = asked(tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    shape = resolve_model(cfg, vocab=VOCAB).shape
    # an empty model of the same shape
    assert build_model(cfg, shape, seed=1, weights=False).shape == shape
    with pytest.raises(CheckpointError, match=r"neither model.safetensors"):
        build_model(cfg, shape, seed=1)
    # what stays frozen beside LoRA is in no checkpoint
    with pytest.raises(CheckpointError, match=r"neither model.safetensors"):
        build_model(asked(tmp_path / "m", lora=Lora()), shape, seed=1, weights=False)


def test_beside_frozen_weights_the_head_of_a_labelled_task_is_trained(tmp_path):
    publish(tmp_path / "m", "llama")
    cfg = asked(tmp_path / "m", lora=Lora(rank=2))
    model = build_model(cfg, resolve_model(cfg, vocab=VOCAB, outputs=2).shape, seed=1)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    # it starts at zero, so frozen it would answer nothing for ever
    assert "score.weight" in trained and "embed.weight" not in trained
    assert all(name == "score.weight" or "lora" in name for name in trained)


def test_the_digest_is_that_of_the_weights(tmp_path):
    publish(tmp_path / "m")
    inner = hashlib.sha256((tmp_path / "m" / "model.safetensors").read_bytes()).digest()
    # a hash of the hashes of the files, one here
    assert weights_digest(str(tmp_path / "m")) == hashlib.sha256(inner).hexdigest()
    (tmp_path / "m" / "config.json").write_text("{}")
    # of the weights alone
    assert weights_digest(str(tmp_path / "m")) == hashlib.sha256(inner).hexdigest()
