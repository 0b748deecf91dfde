"""The likeliest continuations of many prompts at once, greedily or by beam search.

Dims: B prompts, K beams, R rows that the model reads, T time, N new tokens, V vocabulary,
C candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from wellfit.errors import ConfigError, WellfitError
from wellfit.model.decoder import Cache, Decoder

_WORST = -1e9
_DROP_FRAC = 0.25  # of rows that ended, from which it pays to copy the cache without them


@torch.inference_mode()
def generate_batch(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    *,
    n_tokens: int,
    stop_id: int | None,
    beams: int = 1,
    length_penalty: float = 1.0,
    at_once: int = 1 << 14,
) -> list[list[int]]:
    """At most ``n_tokens`` tokens after each prompt, without ``stop_id``, which ends a text.

    With one beam the likeliest token each time, as ``generate`` at temperature 0.  With more, the
    text of the highest sum of log-probabilities over length ** ``length_penalty``, its stop
    counted, that beam search finds as `transformers` does.

    Prompts of one length are read together, so nothing is padded and a text does not depend on
    its neighbours.  ``at_once`` bounds the tokens, cached ones included, of the rows in work.

    Raises ``ConfigError`` for a prompt that cannot be, ``WellfitError`` when the model's
    predictions are not finite.
    """
    problems = prompt_problems(decoder, prompts, n_tokens)
    if beams < 1:
        problems.append(f"beams {beams}: write 1 for greedy, or more")
    if problems:
        raise ConfigError(problems)
    by_length: dict[int, list[int]] = {}
    for i, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(i)
    out: list[list[int]] = [[] for _ in prompts]
    for length, members in by_length.items():
        size = max(1, at_once // (beams * (length + n_tokens)))
        for start in range(0, len(members), size):
            part = members[start : start + size]
            text = Text(decoder, [prompts[i] for i in part], n_tokens)
            if beams == 1:
                found_BN = _greedy(text, n_tokens, stop_id)
            else:
                found_BN = _beam(text, n_tokens, stop_id, beams, length_penalty)
            for i, tokens in zip(part, found_BN.tolist(), strict=True):
                out[i] = tokens[: tokens.index(stop_id)] if stop_id in tokens else tokens
    return out


def prompt_problems(decoder: Decoder, prompts: Sequence[Sequence[int]], n_tokens: int) -> list[str]:
    """What keeps these prompts from being continued by so many tokens."""
    vocab, problems = decoder.shape.vocab, []
    for i, prompt in enumerate(prompts):
        name = "the prompt" if len(prompts) == 1 else f"prompt {i}"
        odd = [token for token in prompt if not 0 <= token < vocab]
        if len(prompt) == 0:
            problems.append(f"{name} holds no token, and the model needs one to begin from")
        elif odd:
            problems.append(f"{name} holds token {odd[0]}, and the vocabulary is 0 to {vocab - 1}")
    if n_tokens < 0:
        problems.append(f"cannot generate {n_tokens} tokens; write 0 or more")
    return problems


class Text:
    """Rows of equal length that grow by a token at a time, and the model's memory of them.

    The model looks at a window of the text.  It begins with as much of the prompt as the
    context holds; when it would outgrow the context, it starts again from the last half of it,
    so that re-reading costs a constant share and not all of the work.
    """

    def __init__(self, decoder: Decoder, prompts: Sequence[Sequence[int]], n_tokens: int) -> None:
        device, context = decoder.embed.weight.device, decoder.shape.context
        like = torch.empty(0, dtype=decoder.compute, device=device)
        self.decoder = decoder
        self.tokens_RT = torch.tensor([[int(t) for t in row] for row in prompts], device=device)
        rows, length = self.tokens_RT.shape
        self.cache = Cache(decoder.shape, rows, min(context, length + n_tokens), like)
        self.start = max(0, length - context)  # where the window begins

    def logits(self) -> Tensor:
        """Of the next token of each row, (R, V) float32.  Raises ``WellfitError`` if not finite."""
        context, end = self.decoder.shape.context, self.tokens_RT.shape[1]
        if end - self.start > context:
            self.start, self.cache.seen = end - max(1, context // 2), 0
        new_RT = self.tokens_RT[:, self.start + self.cache.seen :]
        last_R1D = self.decoder.hidden(new_RT, cache=self.cache)[:, -1:]
        logits_RV = self.decoder.logits(last_R1D)[:, 0].float()
        if not bool(logits_RV.amax(dim=1).isfinite().all()):
            raise WellfitError(
                f"the model predicts values that are not finite after {end} tokens: its "
                "weights are spoilt. Take an earlier checkpoint, or see: wellfit diagnose RUN"
            )
        return logits_RV

    def select(self, rows_R: Tensor) -> None:
        """Go on with these rows, in this order; one may be taken several times."""
        self.cache.select(rows_R)
        self.tokens_RT = self.tokens_RT[rows_R]

    def append(self, tokens_R: Tensor) -> None:
        """Each row goes on with its token."""
        self.tokens_RT = torch.cat((self.tokens_RT, tokens_R[:, None]), dim=1)


def _greedy(text: Text, n_tokens: int, stop_id: int | None) -> Tensor:
    """(B, N); what stands after a stop has no meaning."""
    B, device = len(text.tokens_RT), text.tokens_RT.device
    out_BN = torch.zeros(B, n_tokens, dtype=torch.int64, device=device)
    place_R = torch.arange(B, device=device)
    goes_on_R = torch.ones(B, dtype=torch.bool, device=device)
    for n in range(n_tokens):
        token_R = text.logits().argmax(dim=1)
        out_BN[place_R, n] = token_R
        text.append(token_R)
        if stop_id is None:
            continue
        goes_on_R &= token_R != stop_id
        left = int(goes_on_R.sum())
        if left == 0:
            break
        if left <= (1 - _DROP_FRAC) * len(goes_on_R):
            rows_R = goes_on_R.nonzero()[:, 0]
            text.select(rows_R)
            place_R, goes_on_R = place_R[rows_R], goes_on_R[rows_R]
    return out_BN


def _beam(text: Text, n_tokens: int, stop_id: int | None, beams: int, penalty: float) -> Tensor:
    """(B, N) the best text of each prompt; what stands after a stop has no meaning.

    Each time the 2K likeliest continuations of a prompt's K beams are looked at, so that K go on
    however many end; of the first K those that end are finished.  A prompt is done when its best
    beam, as long as it is, scores no better than the worst of K finished texts.
    """
    (B, prompt), device = text.tokens_RT.shape, text.tokens_RT.device
    K, V = beams, text.decoder.shape.vocab
    out_BN = torch.zeros(B, n_tokens, dtype=torch.int64, device=device)
    place_B = torch.arange(B, device=device)
    scores_BK = torch.full((B, K), _WORST, device=device)
    scores_BK[:, 0] = 0.0
    done_BK = torch.full((B, K), _WORST, device=device)
    done_BKN = out_BN[:, None].repeat(1, K, 1)
    for n in range(n_tokens):
        logp_RV = F.log_softmax(text.logits(), dim=1)
        if n == 0:  # the beams of a prompt begin as one row
            text.select(torch.arange(B, device=device).repeat_interleave(K))
            logp_RV = logp_RV.repeat_interleave(K, dim=0)
        B = len(scores_BK)
        sums_BC = (logp_RV.view(B, K, V) + scores_BK[:, :, None]).view(B, K * V)
        top_BC, at_BC = sums_BC.topk(2 * K, dim=1)
        first_B1 = K * torch.arange(B, device=device)[:, None]
        row_BC, token_BC = first_B1 + at_BC // V, at_BC % V
        ends_BC = token_BC == (-1 if stop_id is None else stop_id)
        if n == n_tokens - 1:
            ends_BC = torch.ones_like(ends_BC)

        written_BCN = text.tokens_RT[row_BC, prompt:]
        written_BCN = F.pad(torch.cat((written_BCN, token_BC[..., None]), 2), (0, n_tokens - n - 1))
        finished_BC = (top_BC / (n + 1) ** penalty).masked_fill(~ends_BC, _WORST)[:, :K]
        done_BK, kept_BK = torch.cat((done_BK, finished_BC), dim=1).topk(K, dim=1)
        done_BKN = torch.cat((done_BKN, written_BCN[:, :K]), dim=1).take_along_dim(
            kept_BK[..., None], dim=1
        )
        out_BN[place_B] = done_BKN[:, 0]

        scores_BK, next_BK = top_BC.masked_fill(ends_BC, _WORST).topk(K, dim=1)
        open_B = scores_BK[:, 0] / (n + 1) ** penalty > done_BK[:, -1]
        if not bool(open_B.any()):
            break
        row_BK, token_BK = row_BC.gather(1, next_BK)[open_B], token_BC.gather(1, next_BK)[open_B]
        place_B, scores_BK = place_B[open_B], scores_BK[open_B]
        done_BK, done_BKN = done_BK[open_B], done_BKN[open_B]
        text.select(row_BK.flatten())
        text.append(token_BK.flatten())
    return out_BN
