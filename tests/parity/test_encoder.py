"""Encoders through transformers: the same outputs, repeatable dropout, files that load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny_models import finished_run, random_tokens, randomize, tiny_tokenizer
from wellfit.config import Lora, Pretrained, Regularize
from wellfit.errors import CheckpointError, ConfigError
from wellfit.export import export_run
from wellfit.model import (
    Encoder,
    Outputs,
    build_model,
    noise_source,
    read_model,
    read_outputs,
    resolve_model,
    write_published,
)

transformers = pytest.importorskip("transformers")

SIZES = {
    "vocab_size": 37,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
ENDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1}
CONFIGS = {
    "bert": transformers.BertConfig(**SIZES),
    "roberta": transformers.RobertaConfig(**SIZES),
    "distilbert": transformers.DistilBertConfig(
        vocab_size=37, dim=32, n_layers=2, n_heads=4, hidden_dim=48, max_position_embeddings=40
    ),
    "modernbert": transformers.ModernBertConfig(
        **SIZES, **ENDS, sep_token_id=2, mlp_dropout=0.1, attention_dropout=0.1
    ),
}
LENGTHS_B = torch.tensor([24, 3, 11])
LABELS = Outputs(("no", "so so", "yes"), "single_label_classification")


@pytest.fixture(scope="module", params=CONFIGS)
def published(request, tmp_path_factory) -> Path:
    """A model of masked words, from which a task with labels starts."""
    folder = tmp_path_factory.mktemp(request.param)
    model = transformers.AutoModelForMaskedLM.from_config(CONFIGS[request.param])
    randomize(model, seed=3)
    model.save_pretrained(folder)
    return folder


def started(folder: Path, *, seed: int = 1, **fields: object) -> Encoder:
    cfg = Pretrained(path=str(folder))
    shape = resolve_model(cfg, vocab=37, outputs=3).shape
    return build_model(cfg, shape, seed=seed, **fields)


def tokens() -> torch.Tensor:
    return random_tokens(3, 24, seed=5) % 34 + 3  # without the special ones


def test_a_plan_knows_the_sizes(published):
    shape, choices = resolve_model(Pretrained(path=str(published)), vocab=37, outputs=3)
    assert (shape.family, shape.outputs, shape.vocab) == ("encoder", 3, 37)
    assert (shape.width, shape.depth, shape.heads, shape.mlp_width) == (32, 2, 4, 48)
    # RoBERTa leaves two of its positions to its padding
    assert shape.context == (38 if published.name.startswith("roberta") else 40)
    assert choices["model.context"].value == shape.context


def test_padded_texts_get_the_outputs_that_transformers_gives_each_alone(published, tmp_path):
    encoder = started(published)
    encoder.save(tmp_path, LABELS)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    tokens_BT = tokens()
    with torch.no_grad():
        ours_BO = encoder.outputs_of(tokens_BT, LENGTHS_B)
        for row, length in enumerate(LENGTHS_B.tolist()):
            alone = theirs(input_ids=tokens_BT[row : row + 1, :length]).logits[0]
            # padding counts for nothing
            torch.testing.assert_close(ours_BO[row], alone, rtol=1e-4, atol=1e-5)
    # guards the test itself: texts differ
    assert float(ours_BO.std(dim=0).max()) > 1e-3


def test_the_body_is_as_published_and_the_head_is_drawn_from_the_seed(published):
    torch.manual_seed(9)
    before = torch.get_rng_state()
    first, again, other = (started(published, seed=seed).state_dict() for seed in (1, 1, 2))
    # repeatable, and by the seed alone
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert torch.equal(before, torch.get_rng_state())
    drawn = {name for name in first if not torch.equal(first[name], other[name])}
    # what a model of masked words has no weights for: the classifier, and what stands before it
    assert drawn and all(
        name.removeprefix("model.").startswith(("classifier", "pre_classifier", "bert.pooler"))
        for name in drawn
    )


def test_dropout_is_repeatable_and_leaves_the_global_generator_alone(published):
    encoder, tokens_BT = started(published), tokens()
    source = noise_source(Regularize(), encoder.shape, seed=1, dtype=torch.float32, device="cpu")
    assert source is not None
    torch.manual_seed(9)
    before = torch.get_rng_state()
    first, again, later, others = (
        encoder.outputs_of(tokens_BT, LENGTHS_B, drop=source.draw(step, np.array(samples)))
        for step, samples in ((1, [4, 5, 6]), (1, [4, 5, 6]), (2, [4, 5, 6]), (1, [7, 8, 9]))
    )
    # a function of (seed, step, first sample)
    assert torch.equal(first, again)
    assert not torch.equal(first, later) and not torch.equal(first, others)
    assert torch.equal(before, torch.get_rng_state())
    plain = encoder.outputs_of(tokens_BT, LENGTHS_B)
    # and off outside of training
    assert torch.equal(plain, encoder.outputs_of(tokens_BT, LENGTHS_B))
    assert not torch.equal(plain, first)


def test_what_was_trained_is_written_whole_with_names_and_tokenizer(published, tmp_path):
    encoder = started(published)
    randomize(encoder)
    outputs = Outputs(("a", "b", "c"), "regression", (1.0, 2.0, 3.0), (0.5, 1.0, 2.0))
    tokenizer = tiny_tokenizer(separate=True)
    write_published(tmp_path / "model", encoder, tokenizer, outputs=outputs)
    again = read_model(tmp_path / "model")
    # weights, names and the scale of the targets
    assert isinstance(again, Encoder) and read_outputs(tmp_path / "model") == outputs
    same = again.state_dict()
    assert all(torch.equal(v, same[k]) for k, v in encoder.state_dict().items())
    # and a tokenizer beside it
    assert (tmp_path / "model" / "tokenizer.json").is_file()
    run = finished_run(tmp_path / "run")
    write_published(run / "model", encoder, tokenizer, outputs=outputs, replace=True)
    report = export_run(run, "hf", tmp_path / "out")
    # exported as it is
    assert report.checked[0] == f"{len(same)} tensors read back equal bit for bit"
    exported = read_model(tmp_path / "out").state_dict()
    assert all(torch.equal(v, same[k]) for k, v in exported.items())


def test_a_checkpoint_needs_no_weights_of_the_original(published, tmp_path):
    for file in published.iterdir():
        if file.suffix == ".json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    empty = started(tmp_path, weights=False)
    empty.load_state_dict(started(published).state_dict())
    # the shape is enough
    assert torch.equal(
        empty.outputs_of(tokens(), LENGTHS_B), started(published).outputs_of(tokens(), LENGTHS_B)
    )
    with pytest.raises(CheckpointError, match=r"neither model.safetensors"):
        started(tmp_path)


def test_what_an_encoder_cannot_do_is_said_before_any_step(published):
    with pytest.raises(ConfigError, match="is an encoder, which writes no text"):
        resolve_model(Pretrained(path=str(published)), vocab=37)
    with pytest.raises(ConfigError, match="beside decoders only"):
        resolve_model(Pretrained(path=str(published), lora=Lora()), vocab=37, outputs=2)
    with pytest.raises(ConfigError, match="task.pool"):
        resolve_model(Pretrained(path=str(published)), vocab=37, outputs=2, pool="mean")
    shape = resolve_model(Pretrained(path=str(published)), vocab=37, outputs=2).shape
    with pytest.raises(ConfigError, match="rates of its config.json"):
        noise_source(Regularize(dropout=0.1), shape, seed=1, dtype=torch.float32, device="cpu")


def test_in_bfloat16_the_outputs_are_nearly_the_same(published):
    encoder = started(published)
    plain = encoder.outputs_of(tokens(), LENGTHS_B)
    encoder.compute = torch.bfloat16
    # three digits, float32 at the end
    low = encoder.outputs_of(tokens(), LENGTHS_B)
    assert low.dtype == torch.float32 and not torch.equal(low, plain)
    torch.testing.assert_close(low, plain, rtol=0.1, atol=0.1)
