"""Tokenizers that we save do the same in transformers, and published ones the same in ours."""

from __future__ import annotations

import json

import pytest
import tokenizers
import transformers

from wellfit.tokenizer import (
    bpe_tokenizer,
    byte_tokenizer,
    char_tokenizer,
    load_tokenizer,
)

TEXT = (
    "It's 3 o'clock; we're  happy...\r\n\tCaf\u00e9 \u65e5\u672c \U0001f600 x_y == 'z' "
    "<|endoftext|> 1234567 \u00a0 \u2028 end \n\n\n"
)
MADE = {
    "char": lambda separate: char_tokenizer([TEXT], separate=separate),
    "byte": lambda separate: byte_tokenizer(separate=separate),
    "bpe": lambda separate: bpe_tokenizer([TEXT * 9], vocab=400, separate=separate),
}


@pytest.fixture(autouse=True)
def _quiet():
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    yield
    transformers.logging.set_verbosity(level)


def check_same(folder, ours, text):
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ids = ours.encode(text).tolist()
    # the same ids, the name of the end-of-text token inside a text included
    assert theirs(text)["input_ids"] == ids
    with_end = [*ids, ours.eos_id, *ids] if ours.eos_id is not None else ids
    # the same text back, where the end of a document shows as its name
    assert theirs.decode(with_end) == ours.decode(with_end)
    # the same end of text, and as many ids as the model has rows
    assert (theirs.eos_token_id, len(theirs)) == (ours.eos_id, ours.vocab_size)


@pytest.mark.parametrize("separate", [True, False])
@pytest.mark.parametrize("kind", MADE)
def test_our_tokenizers_do_the_same_in_transformers(tmp_path, kind, separate):
    ours = MADE[kind](separate)
    ours.save(tmp_path)
    check_same(tmp_path, ours, TEXT)


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen3", "nanochat"])
@pytest.mark.parametrize("kind", MADE)
def test_a_model_beside_the_tokenizer_changes_nothing(tmp_path, kind, family):
    ours = MADE[kind](True)
    ours.save(tmp_path)
    special = {"bos_token_id": None, "eos_token_id": ours.eos_id, "pad_token_id": None}
    config = {"model_type": family, "vocab_size": ours.vocab_size, **special}
    (tmp_path / "config.json").write_text(json.dumps(config))
    # some families have tokenizer classes of their own, which must not take over
    check_same(tmp_path, ours, TEXT)


def gpt2_like(folder):
    """A tokenizer as GPT-2's, with a small vocabulary."""
    library = tokenizers.ByteLevelBPETokenizer()
    library.train_from_iterator(
        [TEXT * 9], vocab_size=400, special_tokens=["<|endoftext|>"], show_progress=False
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=library._tokenizer, eos_token="<|endoftext|>"
    )
    fast.save_pretrained(folder)
    return fast


def llama_like(folder):
    """A tokenizer in SentencePiece's manner: marks for spaces, bytes for what is unknown."""
    library = tokenizers.Tokenizer(tokenizers.models.BPE(byte_fallback=True, unk_token="<unk>"))
    library.normalizer = tokenizers.normalizers.Sequence(
        [tokenizers.normalizers.Prepend("\u2581"), tokenizers.normalizers.Replace(" ", "\u2581")]
    )
    steps = tokenizers.decoders
    library.decoder = steps.Sequence(
        [steps.Replace("\u2581", " "), steps.ByteFallback(), steps.Fuse(), steps.Strip(" ", 1, 0)]
    )
    specials = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400, special_tokens=specials, show_progress=False
    )
    library.train_from_iterator(["the cat sat on the mat " * 20], trainer)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=library, eos_token="</s>")
    fast.save_pretrained(folder)
    return fast


@pytest.mark.parametrize("like", [gpt2_like, llama_like])
def test_published_tokenizers_do_the_same_in_ours(tmp_path, like):
    theirs = like(tmp_path)
    ours = load_tokenizer(tmp_path)
    text = "the cat \u00e9 sat\n on 3 mats"
    ids = theirs(text, add_special_tokens=False)["input_ids"]
    # the same ids, and the same text back
    assert ours.encode(text).tolist() == ids
    assert ours.decode(ids) == theirs.decode(ids)
    assert ours.eos_id == theirs.eos_token_id


def test_a_published_tokenizer_goes_through_us_unharmed(tmp_path):
    theirs = gpt2_like(tmp_path / "theirs")
    load_tokenizer(tmp_path / "theirs").save(tmp_path / "ours")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    # what we save with a fine-tuned model is what was published with it
    assert again(TEXT)["input_ids"] == theirs(TEXT)["input_ids"]
    assert again.eos_token_id == theirs.eos_token_id
