"""What a language model finds likely: perplexity, endings, last words, minimal pairs.

Definitions are those of the lm-eval harness, so that both give the same scores.

Dims: B rows, T time, V vocabulary, D draws, N questions, E endings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wellfit.evaluate.metric import Metric, mean_score, measured, share
from wellfit.probe import units_of
from wellfit.tokenizer import Tokenizer

_LOGITS_AT_ONCE = 1 << 24  # logits held at a time; 64 MB in float32


@dataclass(frozen=True, slots=True)
class Reader:
    """A model as a function, its tokenizer, and how far back it can look."""

    logits_of: Callable[[Tensor], Tensor]  # token ids (B, T) in, logits (B, T, V) out
    tokenizer: Tokenizer
    context: int
    device: str = "cpu"


class Question(NamedTuple):
    """A context, the endings to choose from, and which of them is right."""

    context: str
    endings: Sequence[str]
    answer: int


class Likelihood(NamedTuple):
    """Of each continuation: summed nats (N,), and whether each of its tokens is the likeliest."""

    nats: np.ndarray
    greedy: np.ndarray


def perplexity(
    reader: Reader, documents: Sequence[str], *, stride: int | None = None, seed: int = 0
) -> dict[str, Metric]:
    """Perplexity per token, per word (what stands between white space) and per UTF-8 byte.

    Each document is read alone, after an end of text, and moves through the context by
    ``stride`` tokens, half the context unless said, so that after its first window each token
    has at least context - stride tokens before it.  Without an end-of-text token its first token
    is not scored.
    """
    if not documents:
        raise ValueError("no documents: there is nothing to measure")
    stride = stride or max(1, reader.context // 2)
    rows = [_after_end(reader, ids) for ids in reader.tokenizer.encode_batch(documents)]
    nats = _strided(reader, rows, stride)
    totals, counts, owners = [], [], []
    for i, found in enumerate(nats):
        starts = np.arange(0, len(found), stride)
        totals.append(np.add.reduceat(found, starts) if len(found) else np.empty(0))
        counts.append(np.diff(starts, append=len(found)))
        owners.append(np.full(len(starts), i))
    units = units_of(*(np.concatenate(part) for part in (totals, counts, owners)))
    n = int(units.counts.sum())
    n_words = sum(len(text.split()) for text in documents)
    n_bytes = sum(len(text.encode()) for text in documents)

    def score(weights_DN: np.ndarray) -> dict[str, np.ndarray]:
        mean_D = (weights_DN @ units.totals) / np.maximum(weights_DN @ units.counts, 1)
        with np.errstate(over="ignore"):
            return {
                "perplexity": np.exp(mean_D),
                "word_perplexity": np.exp(mean_D * n / max(1, n_words)),
                "byte_perplexity": np.exp(mean_D * n / max(1, n_bytes)),
            }

    sizes = {"perplexity": n, "word_perplexity": n_words, "byte_perplexity": n_bytes}
    metrics = measured(score, len(units.totals), seed=seed)
    return {name: metric._replace(n=sizes[name]) for name, metric in metrics.items()}


def strided_nats(reader: Reader, tokens_T: np.ndarray, *, stride: int) -> np.ndarray:
    """Nats of every token but the first, (T - 1,) float64, each scored once.

    With a stride of the whole context these are the losses of blocks side by side.
    """
    return _strided(reader, [np.asarray(tokens_T, dtype=np.int64)], stride)[0]


def minimal_pairs(
    reader: Reader,
    pairs: Sequence[tuple[str, str]],
    groups: Sequence[str],
    *,
    lead: str = " ",
    seed: int = 0,
) -> dict[str, Metric]:
    """The share of (good, bad) sentences of which the good one is likelier: all, and by group.

    As lm-eval reads BLiMP: each sentence whole, after an end of text and a space (``lead``).
    """
    texts = [("", lead + text) for pair in pairs for text in pair]
    nats_N2 = continuations(reader, texts).nats.reshape(-1, 2)
    right_N, of = nats_N2[:, 0] <= nats_N2[:, 1], np.asarray(groups)
    by_group = {f"accuracy_{name}": share(right_N[of == name], seed=seed) for name in np.unique(of)}
    return {"accuracy": share(right_N, seed=seed), **by_group}


def multiple_choice(
    reader: Reader, questions: Sequence[Question], *, lead: str = " ", seed: int = 0
) -> dict[str, Metric]:
    """The share of questions whose right ending is the likeliest.

    ``accuracy`` goes by the sum of log-probabilities, ``accuracy_norm`` by that sum over the
    characters of the ending.  ``lead`` stands between context and ending.
    """
    pairs = [(q.context, lead + ending) for q in questions for ending in q.endings]
    nats = continuations(reader, pairs).nats
    right: dict[str, list[bool]] = {"accuracy": [], "accuracy_norm": []}
    at = 0
    for question in questions:
        nats_E = nats[at : at + len(question.endings)]
        lengths_E = np.array([len(ending) for ending in question.endings])
        right["accuracy"].append(int(nats_E.argmin()) == question.answer)
        right["accuracy_norm"].append(int((nats_E / lengths_E).argmin()) == question.answer)
        at += len(nats_E)
    return {name: share(np.array(found), seed=seed) for name, found in right.items()}


def last_words(reader: Reader, texts: Sequence[str], *, seed: int = 0) -> dict[str, Metric]:
    """LAMBADA: how often the last word is what the model would write, and its perplexity.

    The word is what follows the last space, that space included; the perplexity is of words.
    """
    cut = [text.rpartition(" ") for text in texts]
    found = continuations(reader, [(context, space + word) for context, space, word in cut])
    means = mean_score(accuracy=found.greedy, perplexity=found.nats)

    def score(weights_DN: np.ndarray) -> dict[str, np.ndarray]:
        out = means(weights_DN)
        with np.errstate(over="ignore"):
            return {**out, "perplexity": np.exp(out["perplexity"])}

    return measured(score, len(texts), seed=seed)


def continuations(reader: Reader, pairs: Sequence[tuple[str, str]]) -> Likelihood:
    """How likely each text is after its context.

    The two are tokenised together and cut where the context alone would end, spaces at its end
    moved to the continuation.  An empty context is an end of text; where the tokenizer has none,
    the first token is not scored.  What does not fit in the model's context is cut off in front.
    """
    contexts = [context.rstrip() for context, _ in pairs]
    whole = reader.tokenizer.encode_batch([context + text for context, text in pairs])
    before = reader.tokenizer.encode_batch(contexts)
    rows, firsts = [], []
    for context, ids, given in zip(contexts, whole, before, strict=True):
        row = ids.astype(np.int64) if context else _after_end(reader, ids)
        dropped = max(0, len(row) - reader.context - 1)
        rows.append(row[dropped:])
        firsts.append(max(1, len(given) - dropped))
    scored = _scored(reader, rows, firsts)
    return Likelihood(
        np.array([nats_T.sum() for nats_T, _ in scored]),
        np.array([bool(likeliest_T.all()) for _, likeliest_T in scored]),
    )


def _after_end(reader: Reader, ids: np.ndarray) -> np.ndarray:
    end = reader.tokenizer.eos_id
    if end is None or (len(ids) and ids[0] == end):
        return ids.astype(np.int64)
    return np.concatenate(([end], ids.astype(np.int64)))


def _strided(reader: Reader, streams: Sequence[np.ndarray], stride: int) -> list[np.ndarray]:
    """Nats of every token but the first of each stream."""
    context = reader.context
    if not 1 <= stride <= context:
        raise ValueError(f"stride {stride}: write 1 to the context, {context}")
    rows, firsts, windows = [], [], []
    for ids in streams:
        starts = range(0, max(1, len(ids) - 1 - context + stride), stride)
        rows += [ids[start : start + context + 1] for start in starts]
        firsts += [1 if start == 0 else context + 1 - stride for start in starts]
        windows.append(len(starts))
    scored = [nats_T for nats_T, _ in _scored(reader, rows, firsts)]
    ends = np.cumsum(windows)
    return [np.concatenate(scored[end - n : end]) for n, end in zip(windows, ends, strict=True)]


@torch.inference_mode()
def _scored(
    reader: Reader, rows: Sequence[np.ndarray], firsts: Sequence[int]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each row from its first on: nats (T,) float64, and whether the token is the likeliest.

    Rows of one length are read together, so that nothing is padded.
    """
    out: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0), np.empty(0, bool)) for _ in rows]
    order = sorted((i for i in range(len(rows)) if len(rows[i]) > firsts[i]), key=_by(rows, firsts))
    vocab, at = reader.tokenizer.vocab_size, 0
    while at < len(order):
        length = len(rows[order[at]])
        size = max(1, _LOGITS_AT_ONCE // (length * vocab))
        part = [i for i in order[at : at + min(size, 256)] if len(rows[i]) == length]
        at += len(part)
        ids_BT = torch.from_numpy(np.stack([rows[i] for i in part])).to(reader.device)
        first = min(firsts[i] for i in part)
        logits_BTV = reader.logits_of(ids_BT[:, :-1])[:, first - 1 :].float()
        targets_BT = ids_BT[:, first:]
        nats = F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), reduction="none")
        nats_BT = nats.view(targets_BT.shape).double().cpu().numpy()
        likeliest_BT = (logits_BTV.argmax(dim=2) == targets_BT).cpu().numpy()
        for row, i in enumerate(part):
            skip = firsts[i] - first
            out[i] = (nats_BT[row, skip:], likeliest_BT[row, skip:])
    return out


def _by(rows: Sequence[np.ndarray], firsts: Sequence[int]) -> Callable[[int], tuple[int, int]]:
    return lambda i: (len(rows[i]), firsts[i])
