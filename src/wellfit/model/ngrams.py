"""A linear model of n-grams: every run of up to N tokens has a row of outputs; a text is their sum.

Dims: B texts, T time, N orders (n-grams of 1 to N tokens), O outputs, F features.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

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


class Features(NamedTuple):
    """The n-grams that end at each token; the start of a text counts as a token before it."""

    ids_BTN: Tensor  # int64: tokens are their own, longer ones come after the vocabulary
    real_BTN: Tensor  # bool: not of padding, nor reaching back before the start


class Ngrams(nn.Module):
    """Outputs = bias + sum of idf * row over the n-grams of a text, over the length of the idf.

    Rows of longer n-grams are shared by what a hash sends to one of ``buckets``.  Everything
    starts at zero, and the weights idf = 1 + ln((1 + texts) / (1 + texts with it)) are counted
    once over the train split, by ``count``.  Used as a decoder with a head for a labelled task is;
    ``compute`` changes nothing, all is float32.

    Source  scikit-learn's TfidfVectorizer (smooth_idf, norm l2) below a linear layer, but that an
    n-gram which occurs twice is two in the length; hashing as in fastText, arXiv:1607.01759.
    """

    idf_F: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        assert shape.outputs is not None, shape
        self.shape, self.compute = shape, torch.float32
        features = shape.vocab + shape.buckets
        zeros_FO = torch.zeros(features, shape.outputs)
        self.rows = nn.Embedding(features, shape.outputs, _weight=zeros_FO)
        self.bias = nn.Parameter(torch.zeros(shape.outputs))
        self.register_buffer("idf_F", torch.ones(features))

    def outputs_of(
        self, tokens_BT: Tensor, lengths_B: Tensor, *, drop: Noise | None = None
    ) -> Tensor:
        """The outputs (B, O), one text a row, padded on the right."""
        ids_BTN, real_BTN = self.features(tokens_BT, lengths_B)
        weights_BTN = self.idf_F[ids_BTN] * real_BTN
        norm_B = weights_BTN.square().sum((1, 2)).sqrt()
        if drop is not None:
            weights_BTN = drop.embedding(weights_BTN)
        weights_BF = weights_BTN.flatten(1) / norm_B[:, None]
        summed_BO: Tensor = F.embedding_bag(
            ids_BTN.flatten(1), self.rows.weight, per_sample_weights=weights_BF, mode="sum"
        )
        return summed_BO + self.bias

    def features(self, tokens_BT: Tensor, lengths_B: Tensor) -> Features:
        """The n-grams of padded texts; the longer ones hashed, each from the next shorter one."""
        place_T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
        hashed_BT, start = tokens_BT.long(), self.shape.vocab
        tokens_BT = hashed_BT
        ids, real = [tokens_BT], [place_T < lengths_B[:, None]]
        for n in range(2, self.shape.width + 1):
            before_BT = F.pad(tokens_BT, (n - 1, 0), value=start)[:, : len(place_T)]
            hashed_BT = (hashed_BT * 1_000_003 + before_BT * (2 * n + 1) * 7919 + n) % _PRIME
            mixed_BT = hashed_BT * 2_654_435_761 % 4_294_967_291
            ids.append(self.shape.vocab + mixed_BT % self.shape.buckets)
            real.append(real[0] & (place_T >= n - 2))
        return Features(torch.stack(ids, -1), torch.stack(real, -1))

    @torch.no_grad()
    def count(self, batches: Iterable[Any]) -> None:
        """Count in how many texts each feature occurs, for the idf.

        ``batches`` of texts have ``inputs`` (B, T) and ``lengths`` (B,), as ``data.Rows``.
        """
        size, n_texts = len(self.idf_F), 0
        seen_F = torch.zeros(size, dtype=torch.int64)
        for rows in batches:
            tokens_BT, lengths_B = torch.from_numpy(rows.inputs), torch.from_numpy(rows.lengths)
            ids_BTN, real_BTN = self.features(tokens_BT, lengths_B)
            row_B = torch.arange(len(tokens_BT))
            keys = (ids_BTN + size * row_B[:, None, None])[real_BTN]
            once = torch.unique(keys) % size
            seen_F += torch.bincount(once, minlength=size)
            n_texts += len(tokens_BT)
        self.idf_F.copy_(1 + torch.log((1 + n_texts) / (1 + seen_F)))


def ngram_shape(*, vocab: int, orders: int, buckets: int, context: int, outputs: int) -> Shape:
    """The sizes of such a model; what only decoders have is nothing."""
    return Shape(
        family="ngrams",
        vocab=vocab,
        depth=0,
        width=orders,
        heads=0,
        kv_heads=0,
        head_dim=0,
        context=context,
        mlp_width=0,
        mlp="gelu",
        outputs=outputs,
        pool="mean",
        buckets=buckets,
    )


def ngram_config(shape: Shape, outputs: Outputs) -> dict[str, Any]:
    """The config.json of such a model."""
    return {
        "architectures": ["WellfitNgramsForSequenceClassification"],
        "model_type": NGRAMS,
        "dtype": "float32",
        "vocab_size": shape.vocab,
        "orders": shape.width,
        "buckets": shape.buckets,
        "max_position_embeddings": shape.context,
        **outputs_config(outputs),
        OURS: {"means": outputs.means, "deviations": outputs.deviations},
    }


def read_ngram_shape(config: Mapping[str, Any], outputs: Outputs, *, where: str) -> Shape:
    """The sizes in a config.json.  Raises ``ConfigError``."""
    read = Settings(config, where)
    shape = ngram_shape(
        vocab=read.size("vocab_size"),
        orders=read.size("orders"),
        buckets=read.size("buckets"),
        context=read.size("max_position_embeddings"),
        outputs=len(outputs.names),
    )
    if read.problems:
        raise ConfigError(read.problems)
    return shape
