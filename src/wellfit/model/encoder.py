"""Published encoders for labelled tasks, through the `transformers` library.

Dims: B texts, T time, O outputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch._compile import _disable_dynamo  # torch.compiler.disable imports the whole compiler

from wellfit.errors import CheckpointError, ConfigError, need
from wellfit.model.dropout import Noise
from wellfit.model.layouts import outputs_config
from wellfit.model.settings import Settings
from wellfit.model.shape import Outputs, Shape

# The keys of width, depth, heads and hidden layer in the config.json of each.
_USUAL = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
ENCODERS = {
    "bert": _USUAL,
    "roberta": _USUAL,
    "distilbert": ("dim", "n_layers", "n_heads", "hidden_dim"),
    "modernbert": _USUAL,
}
_WHY = "an encoder (BERT and its kin)"


class Encoder(nn.Module):
    """An encoder with a head for a labelled task, used as a decoder with one is.

    ``compute`` is the dtype of matrix products; weights stay float32.
    """

    def __init__(self, model: nn.Module, shape: Shape) -> None:
        super().__init__()
        self.model, self.shape = model, shape
        self.compute = torch.float32

    @_disable_dynamo
    def outputs_of(
        self, tokens_BT: Tensor, lengths_B: Tensor, *, drop: Noise | None = None
    ) -> Tensor:
        """The outputs (B, O), one text a row, padded on the right.

        The library's dropout, at the rates of its config.json, draws from torch's global generator.
        Here that is seeded with (seed, step, first sample) for this pass alone, so that a run can
        be repeated and resumed; but unlike all else in training, the masks of a sample depend on
        how the batch was cut into micro-batches and ranks.
        """
        self.model.train(drop is not None)
        on = tokens_BT.device
        real_BT = torch.arange(tokens_BT.shape[1], device=on) < lengths_B[:, None]
        is_low = self.compute != torch.float32
        with (
            torch.random.fork_rng([on] if on.type == "cuda" else [], enabled=drop is not None),
            torch.autocast(on.type, dtype=torch.bfloat16, enabled=is_low),
        ):
            if drop is not None:
                torch.manual_seed(drop.seed)
            found = self.model(input_ids=tokens_BT, attention_mask=real_BT.long())
        outputs_BO: Tensor = found.logits.float()
        return outputs_BO

    def save(self, folder: Path, outputs: Outputs) -> None:
        """Write the model as the library does, its outputs named."""
        config: Any = self.model.config
        config.update(outputs_config(outputs))
        config.wellfit = {"means": outputs.means, "deviations": outputs.deviations}
        with quietly(need("transformers", extra="hf", why=_WHY)):
            self.model.save_pretrained(folder)  # type: ignore[operator]


def encoder_shape(config: Mapping[str, Any], *, where: str = "config.json") -> Shape:
    """The sizes of an encoder, as far as a plan needs them.  Raises ``ConfigError``."""
    read, kind = Settings(config, where), str(config["model_type"])
    width, depth, heads, hidden = (read.size(key) for key in ENCODERS[kind])
    context = read.size("max_position_embeddings", 512)
    if kind == "roberta":  # counts its positions from the one after its padding
        context -= read.size("pad_token_id", 1) + 1
    shape = Shape(
        family="encoder",
        vocab=read.size("vocab_size"),
        depth=depth,
        width=width,
        heads=heads,
        kv_heads=heads,
        head_dim=width // heads,
        context=context,
        mlp_width=hidden,
        mlp="geglu" if kind == "modernbert" else "gelu",
    )
    if read.problems:
        raise ConfigError(read.problems)
    return shape


def load_encoder(folder: Path, shape: Shape, *, seed: int, weights: bool = True) -> Encoder:
    """The encoder in a directory, with as many outputs as the shape has.

    A head that the files do not hold, or hold for another number of outputs, starts as the library
    draws it, from the seed.  Without ``weights`` all of it does, to be filled from a checkpoint.

    Raises ``CheckpointError`` for files that the library does not take.
    """
    library = need("transformers", extra="hf", why=_WHY)
    options = {"num_labels": shape.outputs, "trust_remote_code": False, "local_files_only": True}
    read = {"use_safetensors": True, "ignore_mismatched_sizes": True}
    kind = library.AutoModelForSequenceClassification
    with quietly(library), torch.random.fork_rng([]):
        torch.manual_seed(seed)
        try:
            if weights:
                model = kind.from_pretrained(folder, dtype=torch.float32, **options, **read)
            else:
                config = library.AutoConfig.from_pretrained(folder, **options)
                model = kind.from_config(config, dtype=torch.float32)
        except (OSError, ValueError, RuntimeError) as e:
            raise CheckpointError(
                f"transformers cannot load the encoder in {folder}: {e}. Copy or download it again"
            ) from e
    return Encoder(model, shape)


@contextmanager
def quietly(transformers: ModuleType) -> Iterator[None]:
    """Without the library's progress bars and warnings, which are not about the user's work."""
    logging = transformers.utils.logging
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
