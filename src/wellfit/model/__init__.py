"""The decoder: its shape, its weights, and its way to and from published layouts."""

from wellfit.model.decode import generate_batch
from wellfit.model.adapter import read_adapter, write_adapter
from wellfit.model.decoder import Cache, Decoder
from wellfit.model.dropout import Drop, DropSource
from wellfit.model.families import Resolved, explain_shape, resolve_shape
from wellfit.model.generate import generate
from wellfit.model.init import build_decoder
from wellfit.model.laws import Choice
from wellfit.model.layouts import published_config
from wellfit.model.lora import add_lora, dropping, lora_drop_source, lora_layers, merge
from wellfit.model.publish import read_outputs, read_published, write_published
from wellfit.model.settings import published_outputs, published_shape
from wellfit.model.shape import Family, Outputs, Pool, Shape
from wellfit.model.weights import published_weights

__all__ = [
    "Cache",
    "Choice",
    "Decoder",
    "Drop",
    "DropSource",
    "Family",
    "Outputs",
    "Pool",
    "Resolved",
    "Shape",
    "add_lora",
    "build_decoder",
    "dropping",
    "explain_shape",
    "generate",
    "generate_batch",
    "lora_drop_source",
    "lora_layers",
    "merge",
    "published_config",
    "published_outputs",
    "published_shape",
    "published_weights",
    "read_adapter",
    "read_outputs",
    "read_published",
    "resolve_shape",
    "write_adapter",
    "write_published",
]
