"""What a language model finds likely: continuations, and texts longer than its context.

Definitions are those of the lm-eval harness, so that both give the same scores.

Dims: B rows, T time, D model, V vocabulary, N texts, W windows, C counted places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wellfit.data.chat import special_names
from wellfit.evaluate.metric import Metric
from wellfit.probe import Interval, interval, units_of
from wellfit.tokenizer import Tokenizer
from wellfit.tokenizer.codecs import LibraryCodec

_PLACES_AT_ONCE = 1 << 14  # inputs held at a time
_LOGITS_AT_ONCE = 1 << 24  # logits held at a time; 64 MB in float32
_TEXTS_AT_ONCE = 1 << 12  # tokenised at a time: what the library makes of them is large


@dataclass(frozen=True, slots=True)
class Reader:
    """A language model, its tokenizer, and how far back it can look."""

    model: Any  # a decoder: ``hidden`` of tokens (B, T), and ``logits`` of some of that
    tokenizer: Tokenizer
    context: int
    device: str = "cpu"


class Likelihood(NamedTuple):
    """Of each continuation: how likely it is, and what of it did not fit."""

    nats: np.ndarray  # (N,) float64, summed over its tokens
    greedy: np.ndarray  # (N,) whether each of its tokens is the likeliest
    cut: np.ndarray  # (N,) whether something was cut off in front
    partial: np.ndarray  # (N,) whether that was a part of what is scored


class Windows(NamedTuple):
    """Windows that slide over documents, and what is scored in each; every token once."""

    nats: np.ndarray  # (W,) float64, summed over the tokens that no earlier window scored
    counts: np.ndarray  # (W,) how many those are
    documents: np.ndarray  # (W,) number of the document


class _Scores(NamedTuple):
    nats: np.ndarray
    greedy: np.ndarray


def continuations(reader: Reader, pairs: Sequence[tuple[str, str]]) -> Likelihood:
    """How likely each text is after its context.

    The two are tokenised together and cut where the context alone would end, spaces at its end
    moved to the continuation.  A text without context comes after a begin-of-text token, or the
    end of another text; where the tokenizer has neither, its first token is not scored.  What
    does not fit in the model's context is cut off in front.
    """
    always, alone = _begins(reader.tokenizer)
    contexts = [context.rstrip() for context, _ in pairs]
    whole = _encoded(reader.tokenizer, [context + text for context, text in pairs])
    before = _encoded(reader.tokenizer, contexts)
    rows, firsts_N, dropped_N = [], np.zeros(len(pairs), int), np.zeros(len(pairs), int)
    for i, (ids, given) in enumerate(zip(whole, before, strict=True)):
        begin = always if contexts[i] else alone
        dropped_N[i] = max(0, len(begin) + len(ids) - reader.context - 1)
        firsts_N[i] = len(begin) + len(given) - dropped_N[i]
        rows.append(_after(begin, ids)[dropped_N[i] :])
    nats_N, greedy_N = _scored(reader, rows, np.maximum(firsts_N, 1))
    cut_N = dropped_N > 0
    return Likelihood(nats_N, greedy_N, cut_N, cut_N & (firsts_N < 1))


def strided(reader: Reader, documents: Sequence[np.ndarray], *, stride: int) -> Windows:
    """Score documents, given as tokens, through windows that move on by ``stride`` tokens.

    Each document is read alone, as a text without context is.  After its first window each of
    its tokens has at least context - stride tokens before it; the last window reaches back as far
    as the others, so that with a stride of the whole context this is the harness's own way.
    """
    context = reader.context
    assert 1 <= stride <= context, (stride, context)
    _, alone = _begins(reader.tokenizer)
    rows, firsts, counts, owners = [], [], [], []
    for number, document in enumerate(documents):
        ids = _after(alone, document)
        ends = [*range(context + 1, len(ids), stride), len(ids)]
        for done, end in zip([1, *ends], ends, strict=False):
            start = max(0, end - context - 1)
            rows.append(ids[start:end])
            firsts.append(done - start)
            counts.append(max(0, end - done))
            owners.append(number)
    nats_W = _scored(reader, rows, np.array(firsts, int)).nats
    return Windows(nats_W, np.array(counts, int), np.array(owners, int))


def loss_interval(windows: Windows) -> Interval:
    """95% interval of the nats per token."""
    units = units_of(*windows)
    return interval(units.totals, units.counts)


def perplexities(windows: Windows, **sizes: int) -> dict[str, Metric]:
    """Perplexity per unit of text, of which ``sizes`` says how many there are, such as words."""
    total, n, ends = windows.nats.sum(), windows.counts.sum(), loss_interval(windows)
    out = {}
    for unit, size in sizes.items():
        with np.errstate(over="ignore"):
            value, lo, hi = np.exp(np.array([total, ends.lo * n, ends.hi * n]) / max(1, size))
        out[f"{unit}_perplexity"] = Metric(float(value), (float(lo), float(hi)), size)
    return out


def _begins(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """What stands before every text, and before one without context.

    Published tokenizers say both; ours put nothing before a text but the end of another.
    """
    end = [] if tokenizer.eos_id is None else [tokenizer.eos_id]
    if not isinstance(tokenizer.codec, LibraryCodec):
        return [], end
    library = tokenizer.codec.library
    always = library.encode("", add_special_tokens=True).ids
    named = library.token_to_id(special_names(tokenizer).get("bos_token", ""))
    return always, always or (end if named is None else [named])


def _after(begin: Sequence[int], ids: np.ndarray) -> np.ndarray:
    return np.concatenate((np.array(begin, ids.dtype), ids)) if begin else ids


def _encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> list[np.ndarray]:
    parts = range(0, len(texts), _TEXTS_AT_ONCE)
    return [ids for at in parts for ids in tokenizer.encode_batch(texts[at : at + _TEXTS_AT_ONCE])]


@torch.inference_mode()
def _scored(reader: Reader, rows: Sequence[np.ndarray], firsts_N: np.ndarray) -> _Scores:
    """Each row from its first token on.  Rows of one length go together, so none is padded."""
    lengths_N = np.fromiter(map(len, rows), int, len(rows))
    scores = _Scores(np.zeros(len(rows)), np.ones(len(rows), bool))
    order = np.lexsort((firsts_N, lengths_N))
    order = order[lengths_N[order] > firsts_N[order]]
    for alike in np.split(order, np.flatnonzero(np.diff(lengths_N[order])) + 1):
        size = max(1, _PLACES_AT_ONCE // int(lengths_N[alike].max(initial=1)))
        for at in range(0, len(alike), size):
            part = alike[at : at + size]
            ids_BT = torch.from_numpy(np.stack([rows[i] for i in part]).astype(np.int64))
            first_B = torch.from_numpy(firsts_N[part])
            found = _read(reader, ids_BT.to(reader.device), first_B.to(reader.device))
            scores.nats[part], scores.greedy[part] = found
    return scores


def _read(reader: Reader, ids_BT: Tensor, first_B: Tensor) -> _Scores:
    """Rows of one length.  Only places that count are given logits, so many at once."""
    counts_BT = torch.arange(1, ids_BT.shape[1], device=ids_BT.device) >= first_B[:, None]
    hidden_CD = reader.model.hidden(ids_BT[:, :-1])[counts_BT]
    targets_C = ids_BT[:, 1:][counts_BT]
    nats, misses = [], []
    size = max(1, _LOGITS_AT_ONCE // reader.tokenizer.vocab_size)
    for some_CD, wanted_C in zip(hidden_CD.split(size), targets_C.split(size), strict=True):
        logits_CV = reader.model.logits(some_CD).float()
        nats.append(F.cross_entropy(logits_CV, wanted_C, reduction="none").double())
        misses.append(logits_CV.argmax(dim=1) != wanted_C)
    nats_BT = torch.zeros(counts_BT.shape, dtype=torch.float64, device=ids_BT.device)
    missed_BT = torch.zeros_like(counts_BT)
    nats_BT[counts_BT], missed_BT[counts_BT] = torch.cat(nats), torch.cat(misses)
    return _Scores(nats_BT.sum(dim=1).cpu().numpy(), (~missed_BT.any(dim=1)).cpu().numpy())
