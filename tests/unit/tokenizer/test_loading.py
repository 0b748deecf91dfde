"""Tokenizers on disk."""

from __future__ import annotations

import json

import pytest
import tokenizers

from wellfit.errors import TokenizerError
from wellfit.tokenizer import bpe_tokenizer, byte_tokenizer, char_tokenizer, load_tokenizer

TEXT = "we few, we happy few, we band of brothers; \u00e9\u2028\r\n" * 20


@pytest.mark.parametrize("separate", [True, False])
@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_what_is_saved_is_what_is_loaded(tmp_path, kind, separate):
    made = {
        "char": lambda: char_tokenizer([TEXT], separate=separate),
        "byte": lambda: byte_tokenizer(separate=separate),
        "bpe": lambda: bpe_tokenizer([TEXT], vocab=300, separate=separate),
    }[kind]()
    made.save(tmp_path / "tokenizer")
    loaded = load_tokenizer(tmp_path / "tokenizer")
    # one fingerprint: the same ids for every text
    assert loaded.fingerprint == made.fingerprint
    assert loaded.encode(TEXT).tolist() == made.encode(TEXT).tolist()
    # and all that evaluation needs came along
    assert (loaded.kind, loaded.eos_id, loaded.vocab_size) == (kind, made.eos_id, made.vocab_size)
    assert loaded.token_bytes.tolist() == made.token_bytes.tolist()


def published(folder, *, eos=None, settings=None):
    """A tokenizer.json with words as tokens, as someone else might publish it."""
    words = {"hello": 0, "world": 1, "[UNK]": 2, "</s>": 3}
    library = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    library.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    library.add_special_tokens(["</s>"])
    library.enable_truncation(max_length=2)
    library.enable_padding(length=8)
    folder.mkdir(parents=True, exist_ok=True)
    library.save(str(folder / "tokenizer.json"))
    if settings is not None or eos is not None:
        text = json.dumps(settings or {"eos_token": eos})
        (folder / "tokenizer_config.json").write_text(text)
    return folder


def test_a_published_tokenizer_opens_by_its_folder_or_its_file(tmp_path):
    folder = published(tmp_path / "theirs", eos="</s>")
    for path in (folder, folder / "tokenizer.json"):
        tokenizer = load_tokenizer(path)
        # the end of a text is the token its own settings name
        assert (tokenizer.kind, tokenizer.eos_id) == ("pretrained", 3)


def test_a_published_tokenizer_neither_cuts_nor_pads(tmp_path):
    tokenizer = load_tokenizer(published(tmp_path, eos="</s>"))
    # its file asks to cut at 2 tokens and fill up to 8: text would be lost or made up
    assert tokenizer.encode("hello world hello").tolist() == [0, 1, 0]


def test_the_end_of_text_is_also_found_as_an_object_or_in_the_models_config(tmp_path):
    as_object = published(tmp_path / "a", settings={"eos_token": {"content": "</s>"}})
    # older files write the token with its flags
    assert load_tokenizer(as_object).eos_id == 3
    in_config = published(tmp_path / "b")
    (in_config / "config.json").write_text('{"eos_token_id": 3}')
    # and some name it only beside the model
    assert load_tokenizer(in_config).eos_id == 3
    # and some have none
    assert load_tokenizer(published(tmp_path / "c")).eos_id is None


def test_a_published_tokenizer_is_saved_with_its_settings(tmp_path):
    settings = {"eos_token": "</s>", "chat_template": "{{ messages }}"}
    made = load_tokenizer(published(tmp_path / "theirs", settings=settings))
    made.save(tmp_path / "ours")
    # a chat template, say, must not be lost on the way through us
    assert json.loads((tmp_path / "ours/tokenizer_config.json").read_text()) == settings
    # and it is still the same tokenizer
    assert load_tokenizer(tmp_path / "ours").fingerprint == made.fingerprint


def test_what_is_missing_or_broken_is_named(tmp_path):
    # nothing there
    with pytest.raises(TokenizerError, match=r"no tokenizer at .*nowhere"):
        load_tokenizer(tmp_path / "nowhere")
    # an old folder: how to make the file that is missing
    with pytest.raises(TokenizerError, match=r"holds no tokenizer.json.*save_pretrained"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    # not what it should be
    with pytest.raises(TokenizerError, match=r"tokenizer.json is not a tokenizer"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_of_a_later_version_is_refused(tmp_path):
    byte_tokenizer(separate=True).save(tmp_path)
    path = tmp_path / "wellfit_tokenizer.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    # reading it as if it were ours could give other ids
    with pytest.raises(TokenizerError, match=r"has format 2, .* reads format 1"):
        load_tokenizer(tmp_path)
