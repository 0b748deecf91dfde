"""The head of a labelled task, against transformers' classes for it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import tokenizers
import torch

from tests.tiny_models import SHAPES, finished_run, random_decoder, random_tokens, tiny_tokenizer
from wellfit.errors import ConfigError
from wellfit.export import export_run
from wellfit.model import (
    Decoder,
    Outputs,
    Shape,
    read_outputs,
    read_published,
    write_published,
)
from wellfit.tokenizer import (
    Tokenizer,
    bpe_tokenizer,
    byte_tokenizer,
    ends_of_text,
    frame,
    load_tokenizer,
)

transformers = pytest.importorskip("transformers")

FAMILIES = [
    "gpt2",
    "llama",
    "qwen2",
    "qwen3, shared heads, tied",
    "mistral",
    "smollm3",
    "gemma",
    "gemma2",
    "gemma3_text",
]
LENGTHS_B = torch.tensor([24, 1, 7])
LABELS = Outputs(("awful", "fine", "good"), "single_label_classification")
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}  # float32 sums in another order


def labelled(name: str, outputs: int = 3, pool: str = "last") -> Shape:
    return dataclasses.replace(SHAPES[name], outputs=outputs, pool=pool)


def padded_rows(pad_id: int) -> torch.Tensor:
    """Three texts, one a row, padded on the right; each ends in the token for that, 36."""
    tokens_BT = random_tokens(3, 24, vocab=36)
    tokens_BT[torch.arange(3), LENGTHS_B - 1] = 36
    tokens_BT[0, 5] = pad_id  # which may well stand in a text
    return tokens_BT.where(torch.arange(24) < LENGTHS_B[:, None], pad_id)


@pytest.mark.parametrize("name", FAMILIES)
def test_transformers_gives_the_same_outputs_and_names_to_padded_texts(name, tmp_path):
    decoder, tokenizer = random_decoder(labelled(name)), tiny_tokenizer(separate=True)
    write_published(tmp_path / "model", decoder, tokenizer, outputs=LABELS)
    theirs, loading = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "model", output_loading_info=True, attn_implementation="eager"
    )
    # every weight found its place
    assert not any(loading.values()), loading
    tokens_BT = padded_rows(theirs.config.pad_token_id)
    with torch.no_grad():
        ours_BO = decoder.outputs_of(tokens_BT, LENGTHS_B)
        theirs_BO = theirs.eval()(tokens_BT).logits
    # the same token of each text is read
    torch.testing.assert_close(ours_BO, theirs_BO, **TOLERANCE)
    # guards the test itself: texts differ
    assert ours_BO.std(dim=0).min() > 0.1
    # and the outputs are called what they are
    assert theirs.config.id2label == {0: "awful", 1: "fine", 2: "good"}
    assert theirs.config.problem_type == "single_label_classification"
    again = read_published(tmp_path / "model")
    # ours too: shape, weights, names
    assert again.shape == decoder.shape and read_outputs(tmp_path / "model") == LABELS
    with torch.no_grad():  # as before: with gradients another library takes the products
        assert torch.equal(again.outputs_of(tokens_BT, LENGTHS_B), ours_BO)


@pytest.mark.parametrize("names", [("no", "yes"), ("sad", "so so", "glad")])
def test_a_classifier_of_theirs_is_read(names, tmp_path):
    config = transformers.LlamaConfig(
        vocab_size=37,
        hidden_size=32,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=24,
        pad_token_id=0,
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )
    theirs = transformers.LlamaForSequenceClassification(config).eval()
    theirs.save_pretrained(tmp_path)
    ours, tokens_BT = read_published(tmp_path), padded_rows(0)
    with torch.no_grad():
        # same weights, same function
        torch.testing.assert_close(
            ours.outputs_of(tokens_BT, LENGTHS_B), theirs(tokens_BT).logits, **TOLERANCE
        )
    # with their names
    assert read_outputs(tmp_path).names == names


@pytest.mark.parametrize("pool", ["last", "mean"])
def test_padding_does_not_touch_a_text(pool):
    decoder, tokens_BT = random_decoder(labelled("llama", pool=pool)), padded_rows(0)
    together_BO = decoder.outputs_of(tokens_BT, LENGTHS_B)
    for row, length in enumerate(LENGTHS_B.tolist()):
        alone_BO = decoder.outputs_of(tokens_BT[row : row + 1, :length], LENGTHS_B[row : row + 1])
        # a text alone, without padding, is the same
        torch.testing.assert_close(together_BO[row], alone_BO[0], **TOLERANCE)
    hidden_BTD = decoder.hidden(tokens_BT)
    by_hand = {
        "last": torch.stack([hidden_BTD[i, n - 1] for i, n in enumerate(LENGTHS_B)]),
        "mean": torch.stack([hidden_BTD[i, :n].mean(0) for i, n in enumerate(LENGTHS_B)]),
    }
    # the last vector, or the mean of those that are no padding
    torch.testing.assert_close(decoder.score(by_hand[pool]), together_BO, **TOLERANCE)


@pytest.mark.parametrize(("name", "pool"), [("nanochat", "last"), ("llama", "mean")])
def test_what_transformers_cannot_compute_it_does_not_load(name, pool, tmp_path):
    decoder = random_decoder(labelled(name, 2, pool))
    outputs = Outputs(("depth", "height"), "regression", (1.5, -2.0), (0.5, 3.0))
    tokenizer = tiny_tokenizer(separate=True)
    write_published(tmp_path / "model", decoder, tokenizer, outputs=outputs)
    again = read_published(tmp_path / "model")
    # ours reads all of it back, the scale of the targets too
    assert again.shape == decoder.shape and read_outputs(tmp_path / "model") == outputs
    # rather an error than other numbers
    with pytest.raises(ValueError, match="wellfit"):
        transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")


def _finished(tmp_path: Path, decoder: Decoder, tokenizer: Tokenizer | None = None) -> Path:
    run, made = (
        finished_run(tmp_path / "runs" / "a-run"),
        tokenizer or tiny_tokenizer(separate=True),
    )
    write_published(run / "model", decoder, made, outputs=LABELS, replace=True)
    return run


def _with_a_first_token(folder: Path, kind: str) -> Tokenizer:
    """A published tokenizer that puts something before a text, and nothing behind it."""
    library = tokenizers.Tokenizer.from_str(
        bpe_tokenizer(TEXTS * 9, vocab=280, separate=True).codec.definition
    )
    library.add_special_tokens(["<s>"])
    before = [("<s>", library.token_to_id("<s>"))]
    library.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=before
    )
    folder.mkdir()
    library.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": kind, "bos_token": "<s>", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return load_tokenizer(folder)


TEXTS = ["to be, or", "a", "not to be."]
READERS = {
    "char": lambda folder: tiny_tokenizer(separate=True),
    "byte": lambda folder: byte_tokenizer(separate=True),
    "bpe": lambda folder: bpe_tokenizer(TEXTS * 9, vocab=280, separate=True),
    "published": lambda folder: _with_a_first_token(folder, "PreTrainedTokenizerFast"),
    "published, of a class": lambda folder: _with_a_first_token(folder, "GPT2Tokenizer"),
}


@pytest.mark.parametrize("name", READERS)
def test_transformers_alone_scores_a_text_as_it_was_trained(name, tmp_path):
    tokenizer = READERS[name](tmp_path / "published")
    decoder = random_decoder(dataclasses.replace(labelled("llama"), vocab=tokenizer.vocab_size))
    export_run(_finished(tmp_path, decoder, tokenizer), "hf", tmp_path / "x")
    reader = transformers.AutoTokenizer.from_pretrained(tmp_path / "x")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "x").eval()
    for text in TEXTS:
        # in training a text is framed as published, and its end is there to be read from
        ids = [*frame(tokenizer).before, *tokenizer.encode(text).tolist(), tokenizer.eos_id]
        ours_BO = decoder.outputs_of(torch.tensor([ids]), torch.tensor([len(ids)]))
        with torch.no_grad():
            theirs_BO = model(**reader(text, return_tensors="pt")).logits
            bare = reader(text, add_special_tokens=False, return_tensors="pt")
            without_BO = model(**bare).logits
        torch.testing.assert_close(theirs_BO, ours_BO, **TOLERANCE)
        # guards the test itself: the end tells
        assert not torch.allclose(without_BO, ours_BO, **TOLERANCE)
    again = load_tokenizer(tmp_path / "x")
    # ours reads it as before, also when it is trained on from there
    assert again.encode(TEXTS[0]).tolist() == tokenizer.encode(TEXTS[0]).tolist()
    assert ends_of_text(again) == ends_of_text(tokenizer)
    again.save(tmp_path / "y", labelled=True)
    assert load_tokenizer(tmp_path / "y").fingerprint == again.fingerprint


def test_an_exported_classifier_is_compared_with_transformers(tmp_path):
    report = export_run(_finished(tmp_path, random_decoder(labelled("gpt2"))), "hf", tmp_path / "x")
    # by its outputs
    assert report.logits_max_difference is not None and report.logits_max_difference < 1e-4
    # with its names
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    assert list(config["label2id"]) == list(LABELS.names)


def test_a_mean_over_the_text_is_not_exported_as_something_else(tmp_path):
    run = _finished(tmp_path, random_decoder(labelled("llama", pool="mean")))
    # which setting is in the way
    with pytest.raises(ConfigError, match="task.pool: last"):
        export_run(run, "hf", tmp_path / "x")
    assert not (tmp_path / "x").exists()
