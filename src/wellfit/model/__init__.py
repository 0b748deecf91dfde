"""The decoder: its shape, its weights, and its way to and from published layouts."""

from wellfit.model.adapter import read_adapter, write_adapter
from wellfit.model.decode import generate_batch
from wellfit.model.decoder import Decoder
from wellfit.model.dropout import Drop, Noise, noise_source
from wellfit.model.encoder import Encoder
from wellfit.model.families import Resolved, explain_shape
from wellfit.model.generate import generate
from wellfit.model.init import build_decoder
from wellfit.model.laws import Choice
from wellfit.model.lora import add_lora, dropping, lora_drop_source, lora_layers, merge
from wellfit.model.ngrams import Ngrams
from wellfit.model.publish import read_outputs, read_published, write_published
from wellfit.model.settings import published_shape
from wellfit.model.shape import Outputs, Shape
from wellfit.model.start import build_model, read_model, resolve_model, weights_digest
from wellfit.model.weights import published_weights

__all__ = [
    "Choice",
    "Decoder",
    "Drop",
    "Encoder",
    "Ngrams",
    "Noise",
    "Outputs",
    "Resolved",
    "Shape",
    "add_lora",
    "build_decoder",
    "build_model",
    "dropping",
    "explain_shape",
    "generate",
    "generate_batch",
    "lora_drop_source",
    "lora_layers",
    "merge",
    "noise_source",
    "published_shape",
    "published_weights",
    "read_adapter",
    "read_model",
    "read_outputs",
    "read_published",
    "resolve_model",
    "weights_digest",
    "write_adapter",
    "write_published",
]
