"""A linear model of n-grams: runs of tokens, runs of words and pairs of words have a row each.

Dims: B texts, T time, V vocabulary, N n-grams that can end at a token, O outputs, F features.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wellfit.errors import ConfigError
from wellfit.model.dropout import Noise
from wellfit.model.layouts import OURS, outputs_config
from wellfit.model.settings import Settings
from wellfit.model.shape import Outputs, Shape

NGRAMS = "wellfit-ngrams"  # a model_type that transformers does not know, and so refuses
_PRIME = 2**31 - 1
_WORD, _PAIR, _START = 100, 200, -1  # tell hashes apart that are of different things


class Features(NamedTuple):
    """The n-grams that end at each token, in groups: of tokens, of words, pairs of words."""

    ids_BTN: Tensor  # int64: tokens are their own, all others come after the vocabulary
    real_BTN: Tensor  # bool: not of padding, nor reaching back before the start


class Words(NamedTuple):
    """The words that the tokens of padded texts spell."""

    hash_BT: Tensor  # int64: of the tokens from the start of their word to here
    first_BT: Tensor  # int64: the place of the first of them
    index_BT: Tensor  # int64: how many words of the text come before theirs
    whole_BT: Tensor  # bool: the last of them, where the hash is of the whole word


class Ngrams(nn.Module):
    """Outputs = bias + sum of idf * row over the n-grams of a text, each group at length 1.

    The groups are runs of up to ``width`` tokens; runs of up to ``words`` words, each told by all
    its tokens; and the first ``pairs`` words, and the start, with every word that comes after.
    For runs the start of a text counts as a token, or word, before it.  Rows of longer n-grams are
    shared by what a hash sends to one of ``buckets``.  Everything starts at zero, and the weights
    idf = 1 + ln((1 + texts) / (1 + texts with it)) are counted once over the train split, by
    ``count``.  Used as a decoder with a head for a labelled task is; ``compute`` changes nothing,
    all is float32.

    Source  scikit-learn's TfidfVectorizer (smooth_idf, norm l2), one for each group, below a
    linear layer, but that an n-gram which occurs twice is two in the length; hashing as in
    fastText, arXiv:1607.01759.
    """

    idf_F: Tensor
    starts_V: Tensor  # bool: tokens that begin a word

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        assert shape.outputs is not None, shape
        self.shape, self.compute = shape, torch.float32
        self._groups = [shape.width, shape.words, shape.pairs and shape.pairs + 1]
        features = shape.vocab + shape.buckets
        zeros_FO = torch.zeros(features, shape.outputs)
        self.rows = nn.Embedding(features, shape.outputs, _weight=zeros_FO)
        self.bias = nn.Parameter(torch.zeros(shape.outputs))
        self.register_buffer("idf_F", torch.ones(features))
        self.register_buffer("starts_V", torch.ones(shape.vocab, dtype=torch.bool))

    def outputs_of(
        self, tokens_BT: Tensor, lengths_B: Tensor, *, drop: Noise | None = None
    ) -> Tensor:
        """The outputs (B, O), one text a row, padded on the right."""
        ids_BTN, real_BTN = self.features(tokens_BT, lengths_B)
        weights_BTN = self.idf_F[ids_BTN] * real_BTN
        groups = torch.split(weights_BTN, self._groups, dim=-1)
        lengths = [group.square().sum((1, 2), keepdim=True).sqrt() for group in groups]
        if drop is not None:
            groups = torch.split(drop.embedding(weights_BTN), self._groups, dim=-1)
        scaled = [group / length for group, length in zip(groups, lengths, strict=True)]
        weights_BF = torch.cat(scaled, dim=-1).flatten(1)
        summed_BO: Tensor = F.embedding_bag(
            ids_BTN.flatten(1), self.rows.weight, per_sample_weights=weights_BF, mode="sum"
        )
        return summed_BO + self.bias

    def features(self, tokens_BT: Tensor, lengths_B: Tensor) -> Features:
        """The n-grams of padded texts, all but single tokens hashed."""
        tokens_BT = tokens_BT.long()
        inside_BT = torch.arange(tokens_BT.shape[1], device=tokens_BT.device) < lengths_B[:, None]
        found = [*self._runs_of_tokens(tokens_BT, inside_BT)]
        if self.shape.words or self.shape.pairs:
            words = self._words(tokens_BT, inside_BT)
            found += [*self._runs_of_words(words), *self._pairs(words)]
        return Features(*(torch.stack(part, -1) for part in zip(*found, strict=True)))

    def _row(self, hash_BT: Tensor) -> Tensor:
        return self.shape.vocab + _spread(hash_BT) % self.shape.buckets

    def _runs_of_tokens(self, tokens_BT: Tensor, inside_BT: Tensor) -> Iterator[Features]:
        """Each longer run hashed from the next shorter one."""
        yield Features(tokens_BT, inside_BT)
        hash_BT, size = tokens_BT, tokens_BT.shape[1]
        for n in range(2, self.shape.width + 1):
            before_BT = F.pad(tokens_BT, (n - 1, 0), value=self.shape.vocab)[:, :size]
            hash_BT = _joined(hash_BT, before_BT, n)
            reaches_T = torch.arange(size, device=tokens_BT.device) >= n - 2
            yield Features(self._row(hash_BT), inside_BT & reaches_T)

    def _words(self, tokens_BT: Tensor, inside_BT: Tensor) -> Words:
        """A word's hash is the sum of its tokens, each multiplied by what its place has drawn."""
        place_T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
        begins_BT = self.starts_V[tokens_BT] | (place_T == 0)
        first_BT = torch.where(begins_BT, place_T, 0).cummax(1).values
        drawn_BT = _spread(_joined(place_T - first_BT, 0, _WORD)) % _PRIME
        summed_BT = ((tokens_BT + 1) * drawn_BT % _PRIME).cumsum(1)
        before_BT = F.pad(summed_BT, (1, 0)).gather(1, first_BT)
        ends_BT = F.pad(begins_BT, (0, 1), value=True)[:, 1:] | ~F.pad(inside_BT, (0, 1))[:, 1:]
        index_BT = begins_BT.cumsum(1) - 1
        return Words((summed_BT - before_BT) % _PRIME, first_BT, index_BT, inside_BT & ends_BT)

    def _runs_of_words(self, words: Words) -> Iterator[Features]:
        """Each longer run hashed from the next shorter one."""
        hash_BT, first_BT = _joined(words.hash_BT, 0, _WORD + 1), words.first_BT
        for n in range(1, self.shape.words + 1):
            if n > 1:
                last_BT = (first_BT - 1).clamp(min=0)  # of the word before
                before_BT = torch.where(first_BT > 0, words.hash_BT.gather(1, last_BT), _START)
                hash_BT = _joined(hash_BT, before_BT, _WORD + n)
                first_BT = words.first_BT.gather(1, last_BT)
            yield Features(self._row(hash_BT), words.whole_BT & (words.index_BT >= n - 2))

    def _pairs(self, words: Words) -> Iterator[Features]:
        """The start, the first word, the second, ..., with every word that comes after."""
        if not self.shape.pairs:
            return
        yield Features(self._row(_joined(words.hash_BT, _START, _PAIR)), words.whole_BT)
        for k in range(self.shape.pairs):
            kth_BT = words.whole_BT & (words.index_BT == k)
            with_B1 = (words.hash_BT * kth_BT).sum(1, keepdim=True)
            hash_BT = _joined(words.hash_BT, with_B1, _PAIR + 1 + k)
            yield Features(self._row(hash_BT), words.whole_BT & (words.index_BT > k))

    @torch.no_grad()
    def count(self, batches: Iterable[Any], starts_V: np.ndarray) -> None:
        """Count in how many texts each feature occurs, for the idf.

        ``batches`` of texts have ``inputs`` (B, T) and ``lengths`` (B,), as ``data.Rows``;
        ``starts_V`` says which tokens begin a word.
        """
        self.starts_V.copy_(torch.from_numpy(starts_V))
        size, n_texts = len(self.idf_F), 0
        seen_F = torch.zeros(size, dtype=torch.int64)
        for rows in batches:
            tokens_BT, lengths_B = torch.from_numpy(rows.inputs), torch.from_numpy(rows.lengths)
            ids_BTN, real_BTN = self.features(tokens_BT, lengths_B)
            row_B = torch.arange(len(tokens_BT))
            keys = (ids_BTN + size * row_B[:, None, None])[real_BTN]
            seen_F += torch.bincount(torch.unique(keys) % size, minlength=size)
            n_texts += len(tokens_BT)
        self.idf_F.copy_(1 + torch.log((1 + n_texts) / (1 + seen_F)))


def _joined(hash_BT: Tensor, other: Tensor | int, n: int) -> Tensor:
    return (hash_BT * 1_000_003 + other * (2 * n + 1) * 7919 + n) % _PRIME


def _spread(hash_BT: Tensor) -> Tensor:
    return hash_BT * 2_654_435_761 % 4_294_967_291


def ngram_shape(*, orders: int, **sizes: Any) -> Shape:
    """The sizes of such a model, as Shape calls all but ``orders``; what it lacks is nothing."""
    none: dict[str, Any] = dict.fromkeys("depth heads kv_heads head_dim mlp_width".split(), 0)
    return Shape(family="ngrams", width=orders, mlp="gelu", pool="mean", **none, **sizes)


def ngram_config(shape: Shape, outputs: Outputs) -> dict[str, Any]:
    """The config.json of such a model."""
    return {
        "architectures": ["WellfitNgramsForSequenceClassification"],
        "model_type": NGRAMS,
        "dtype": "float32",
        "vocab_size": shape.vocab,
        "orders": shape.width,
        **{name: getattr(shape, name) for name in ("words", "pairs", "buckets")},
        "max_position_embeddings": shape.context,
        **outputs_config(outputs),
        OURS: {"means": outputs.means, "deviations": outputs.deviations},
    }


def read_ngram_shape(config: Mapping[str, Any], outputs: Outputs, *, where: str) -> Shape:
    """The sizes in a config.json.  Raises ``ConfigError``."""
    read = Settings(config, where)
    least = {"orders": 0, "words": -1, "pairs": -1, "buckets": 0}
    sizes = {name: read.size(name, above=low) for name, low in least.items()}
    sizes |= {"vocab": read.size("vocab_size"), "context": read.size("max_position_embeddings")}
    shape = ngram_shape(**sizes, outputs=len(outputs.names))
    if read.problems:
        raise ConfigError(read.problems)
    return shape
