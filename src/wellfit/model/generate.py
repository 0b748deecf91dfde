"""Text from a decoder, one token at a time.

Dims: R rows, T time, V vocabulary.

The draw of a token is a pure function of (seed, position in the text), so a text that is cut
and continued goes on as if it had not been cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from wellfit.errors import ConfigError
from wellfit.model.decode import Text, prompt_problems
from wellfit.model.decoder import Decoder
from wellfit.model.dropout import mix

_PURPOSE = 0x5A3  # keeps these draws apart from dropout's


def generate(
    decoder: Decoder,
    prompt_ids: Sequence[int],
    *,
    n_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 1,
    stop_id: int | None = None,
) -> Iterator[int]:
    """The next ``n_tokens`` tokens after the prompt, as they are drawn.

    ``temperature`` 0 takes the likeliest token.  ``top_k`` keeps the k likeliest, ``top_p`` then
    the fewest whose probabilities reach p.  The text ends before ``stop_id``.

    Raises at once ``ConfigError`` with every argument that cannot be, and ``WellfitError`` when the
    model's predictions are not finite.
    """
    problems = prompt_problems(decoder, [prompt_ids], n_tokens)
    if not 0 <= temperature < float("inf"):
        problems.append(f"temperature {temperature}: write 0 for the likeliest token, or more")
    if top_k is not None and top_k < 1:
        problems.append(f"top_k {top_k}: write 1 or more, or leave it out")
    if top_p is not None and not 0 < top_p <= 1:
        problems.append(f"top_p {top_p}: write a share above 0, at most 1, or leave it out")
    if problems:
        raise ConfigError(problems)
    text = Text(decoder, [prompt_ids], n_tokens)

    def tokens() -> Iterator[int]:
        for position in range(len(prompt_ids), len(prompt_ids) + n_tokens):
            # Not around the yield: the caller's own gradients are none of our business.
            with torch.inference_mode():
                logits_V = text.logits()[0].double().cpu()
            kept_V = restrict(logits_V, temperature=temperature, top_k=top_k, top_p=top_p)
            token = draw(kept_V, seed=seed, position=position)
            if token == stop_id:
                return
            text.append(text.tokens_RT.new_tensor([token]))
            yield token

    return tokens()


def restrict(
    logits_V: Tensor, *, temperature: float, top_k: int | None, top_p: float | None
) -> Tensor:
    """Probabilities to draw from, zero for what is left out.  Ties go to the lower token."""
    if temperature == 0:
        return torch.nn.functional.one_hot(logits_V.argmax(), len(logits_V)).double()
    # The largest becomes 0, so that a temperature near 0 cannot overflow.
    probs_V = ((logits_V - logits_V.max()) / temperature).softmax(dim=0)
    if top_k is None and top_p is None:
        return probs_V
    sorted_V, order_V = probs_V.sort(descending=True, stable=True)
    n = min(top_k or len(probs_V), len(probs_V))
    if top_p is not None:
        reached_V = sorted_V[:n].cumsum(0) / sorted_V[:n].sum()
        n = int((reached_V < top_p).sum()) + 1
    kept_V = torch.zeros_like(probs_V)
    kept_V[order_V[:n]] = sorted_V[:n]
    return kept_V


def draw(probs_V: Tensor, *, seed: int, position: int) -> int:
    """The token at which the running sum of ``probs_V`` passes a number that is fixed by the keys.

    Inverting the sum, rather than a generator's own sampling, makes the draw the same on every
    device and as steady as the probabilities themselves.
    """
    uniform = int(mix(seed, _PURPOSE, position) >> 11) * 2.0**-53
    below_V = probs_V.cumsum(0)
    # right: a token of probability 0 is never drawn, not even by uniform 0
    return int(torch.searchsorted(below_V, uniform * float(below_V[-1]), right=True))
