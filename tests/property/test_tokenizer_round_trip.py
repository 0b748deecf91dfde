"""Text comes back from ids, whatever the text."""

from __future__ import annotations

import functools

from hypothesis import given
from hypothesis import strategies as st

from wellfit.tokenizer import bpe_tokenizer, byte_tokenizer, char_tokenizer

TRAINED_ON = "Now is the winter of our discontent\r\n\tMade glorious summer; 1234 caf\u00e9 " * 30
# anything UTF-8 can write: NUL, byte order marks, line ends of all kinds, emoji and all
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@functools.cache
def trained():
    return [
        bpe_tokenizer([TRAINED_ON], vocab=v, separate=s) for v, s in ((400, True), (256, False))
    ]


@given(text=TEXTS)
def test_bytes_and_bpe_give_back_every_text(text):
    for tokenizer in (byte_tokenizer(separate=True), *trained()):
        # nothing is lost, and nothing is made up
        assert tokenizer.decode(tokenizer.encode(text)) == text


@given(text=TEXTS.filter(bool))
def test_characters_give_back_every_text_they_were_made_of(text):
    for separate in (True, False):
        tokenizer = char_tokenizer([text], separate=separate)
        # one id a character, and the same characters back
        assert len(tokenizer.encode(text)) == len(text)
        assert tokenizer.decode(tokenizer.encode(text)) == text


@given(text=TEXTS)
def test_tokens_stand_for_the_bytes_of_the_text(text):
    for tokenizer in (byte_tokenizer(separate=True), *trained()):
        # or bits per byte would be of some other text
        assert tokenizer.token_bytes[tokenizer.encode(text)].sum() == len(text.encode())


@given(texts=st.lists(TEXTS, max_size=8))
def test_a_batch_is_its_texts_one_by_one(texts):
    for tokenizer in (byte_tokenizer(separate=False), *trained()):
        batch = [ids.tolist() for ids in tokenizer.encode_batch(texts)]
        # no token crosses from one text to the next
        assert batch == [tokenizer.encode(text).tolist() for text in texts]


@given(ids=st.lists(st.integers(0, 255), max_size=60))
def test_whatever_a_model_writes_can_be_shown(ids):
    shown = byte_tokenizer(separate=True).decode(ids)
    # what is not UTF-8 is replaced as Python and the library both do
    assert shown == bytes(ids).decode("utf-8", "replace")
    # and what is shown is text
    assert shown.encode().decode() == shown
