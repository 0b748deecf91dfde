"""What users of other trainers type, and what it is called here.

Names are those of Hugging Face Trainer and TRL, nanoGPT, litgpt, Axolotl, LLaMA-Factory,
Ludwig, Keras and torchtitan, in lower case with underscores.  An alias is never accepted as a
key; it only makes the error message name the right one, with the value written out.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

from wellfit.config.fields import show, write_percent

# how the value a user gave becomes the value to write here
Form: TypeAlias = Literal[
    "same",
    "steps",
    "epochs",
    "tokens",
    "minutes",
    "share",
    "percent",
    "clip",
    "off if 0",
    "published",
]


class Alias(NamedTuple):
    """The key to write instead, and the form its value takes."""

    key: str
    form: Form = "same"
    value: str = ""  # the value to write, when it does not depend on the one given


# A value in the right form, for when the one given cannot be put into it.
_EXAMPLES: dict[str, str] = {
    "steps": "5000 steps",
    "epochs": "3 epochs",
    "tokens": "1B tokens",
    "minutes": "10 minutes",
}


class Said(NamedTuple):
    """An alias applied: the key, and the text of its value where that could be made out."""

    key: str
    value: str
    example: str = ""


def _same(key: str, names: str, form: Form = "same") -> dict[str, Alias]:
    return {name: Alias(key, form) for name in names.split()}


ALIASES: dict[str, Alias] = {
    **_same("optim.lr", "learning_rate lr max_lr peak_lr base_lr lr_max initial_lr"),
    **_same("optim.kind", "optimizer optim_type optimizer_name optimizer_type optimiser"),
    **_same("optim.betas", "adam_betas"),
    **_same("optim.eps", "adam_epsilon adam_eps epsilon"),
    **_same("optim.momentum", "muon_momentum"),
    **_same("train.batch", "batch_size train_batch_size global_batch_size total_batch_size bs"),
    **_same(
        "train.micro_batch",
        "per_device_train_batch_size per_gpu_train_batch_size micro_batch_size device_batch_size "
        "per_device_batch_size local_batch_size",
    ),
    **_same("train.budget", "max_steps max_iters num_steps total_steps steps n_steps", "steps"),
    **_same("train.budget", "num_iterations iters max_iter iterations train_steps", "steps"),
    **_same("train.budget", "epochs num_train_epochs num_epochs n_epochs epoch", "epochs"),
    **_same("train.budget", "max_epochs", "epochs"),
    **_same("train.budget", "max_tokens total_tokens train_tokens num_tokens", "tokens"),
    **_same("train.budget", "minutes max_minutes max_time time_limit", "minutes"),
    **_same("train.seed", "random_seed rng_seed manual_seed data_seed seed_everything"),
    **_same("train.precision", "dtype torch_dtype mixed_precision amp precision_type"),
    **_same("train.compile", "torch_compile use_compile"),
    **_same("train.device", "accelerator devices device_type"),
    **_same("train.threads", "num_threads n_threads cpu_threads omp_num_threads"),
    **_same("model.context", "block_size seq_length seq_len max_seq_length max_seq_len"),
    **_same("model.context", "sequence_length sequence_len cutoff_len context_length ctx_len"),
    **_same("model.context", "max_length n_positions n_ctx max_position_embeddings"),
    **_same("model.context", "context_window context_size window model_max_length"),
    **_same("model.depth", "n_layer n_layers num_layers num_hidden_layers layers num_blocks"),
    **_same("model.heads", "n_head n_heads num_heads num_attention_heads attention_heads"),
    **_same("model.kv_heads", "n_kv_head n_kv_heads num_kv_heads num_key_value_heads"),
    **_same("model.width", "n_embd d_model hidden_size embed_dim dim hidden_dim n_embed"),
    **_same("model.width", "embedding_size model_dim embedding_dim emb_dim"),
    **_same("model.mlp_width", "intermediate_size d_ff ffn_dim n_inner ffn_hidden_size"),
    **_same("model.mlp", "activation hidden_act activation_function act"),
    **_same("model.norm", "norm_type normalization norm_class_name"),
    **_same("model.position", "position_embedding pos_emb positional_encoding"),
    **_same("model.family", "architecture arch model_type model_family"),
    **_same("model.bias", "use_bias add_bias qkv_bias"),
    **_same("model.rope_theta", "rope_base theta"),
    **_same("model.softcap", "logit_softcap logits_softcap final_logit_softcapping"),
    "tie_word_embeddings": Alias("model.head", value="tied"),
    "weight_tying": Alias("model.head", value="tied"),
    **_same("regularize.dropout", "dropout_rate dropout_prob resid_pdrop embd_pdrop drop_rate"),
    **_same("regularize.dropout", "attn_pdrop hidden_dropout attention_dropout p_dropout"),
    **_same("regularize.weight_decay", "wd weight_decay_rate l2 decay_rate"),
    **_same("regularize.clip.max", "grad_clip max_grad_norm gradient_clip_val clipnorm", "clip"),
    **_same("regularize.clip.max", "gradient_clipping clip_norm max_norm global_clipnorm", "clip"),
    **_same("regularize.clip.max", "grad_clip_norm clip_grad_norm clip_grad gradient_clip", "clip"),
    **_same(
        "schedule.warmup", "warmup_steps warmup_iters lr_warmup_steps num_warmup_steps", "steps"
    ),
    **_same("schedule.warmup", "warmup_ratio warmup_fraction warmup_frac", "share"),
    **_same("schedule.kind", "lr_scheduler_type lr_scheduler scheduler lr_schedule lr_decay_style"),
    **_same("schedule.kind", "learning_rate_scheduler decay scheduler_type"),
    **_same("schedule.floor", "min_lr_ratio final_lr_frac min_lr_rate min_lr_factor", "share"),
    **_same("schedule.decay", "decay_ratio cooldown_frac warmdown_ratio", "share"),
    **_same("stop.patience", "early_stopping_patience early_stop_patience", "off if 0"),
    **_same("stop.patience", "early_stopping early_stop", "off if 0"),
    **_same("stop.min_gain", "min_delta early_stopping_threshold early_stopping_min_delta"),
    **_same("evaluate.every", "eval_interval eval_steps eval_every val_interval", "steps"),
    **_same("evaluate.every", "evaluate_every val_check_interval eval_freq", "steps"),
    **_same("evaluate.every", "steps_per_eval validation_freq val_every eval_frequency", "steps"),
    **_same("evaluate.sample.temperature", "temperature"),
    **_same("evaluate.sample.tokens", "max_new_tokens sample_len max_sample_len"),
    **_same("evaluate.sample.prompt", "sample_prompt start"),
    **_same("checkpoint.every", "save_steps save_interval save_every save_freq", "steps"),
    **_same("checkpoint.every", "checkpoint_interval checkpoint_every", "steps"),
    **_same("checkpoint.every", "steps_per_checkpoint checkpoint_freq ckpt_interval", "steps"),
    **_same("checkpoint.keep", "save_total_limit keep_last_n max_to_keep keep_latest_k"),
    **_same("data.path", "dataset dataset_path train_file data_path data_dir train_data_path"),
    **_same("data.path", "datasets dataset_name train_data file files paths input data_files"),
    **_same("data.path", "corpus input_file training_data train_files input_path"),
    **_same("data.text", "text_column text_field dataset_text_field text_key content_key"),
    **_same("data.format", "file_type dataset_format data_format"),
    **_same(
        "data.split.val", "val_split validation_split val_ratio val_fraction val_size", "percent"
    ),
    **_same("data.split.val", "val_split_fraction val_set_size test_size eval_split", "percent"),
    **_same("data.split.val", "validation_split_percentage train_val_split holdout", "percent"),
    **_same("data.cache", "cache_dir dataset_prepared_path"),
    **_same("tokenizer.kind", "tokenizer_type tokenization"),
    **_same("tokenizer", "tokenizer_name tokenizer_path tokenizer_dir tokenizer_file", "published"),
    **_same("tokenizer.vocab", "vocab_size n_vocab vocabulary_size padded_vocab_size"),
}

# Words that mean something only in their section.
IN_SECTION: dict[tuple[str, str], Alias] = {
    **{
        (section, word): Alias(f"{section}.every", "steps")
        for section in ("evaluate", "checkpoint")
        for word in ("steps", "interval", "freq", "frequency", "period", "every_n_steps")
    },
    **{
        (section, word): Alias(f"{section}.kind")
        for section in ("task", "tokenizer", "model", "optim", "schedule", "data.split")
        for word in ("name", "type", "class", "method", "_target_", "_component_")
    },
    ("data", "name"): Alias("data.path"),
    ("data", "type"): Alias("data.format"),
    ("data", "column"): Alias("data.text"),
    ("data", "field"): Alias("data.text"),
    ("data", "val"): Alias("data.split.val", "percent"),
    ("data", "test"): Alias("data.split.test", "percent"),
    ("train", "duration"): Alias("train.budget"),
    ("train", "length"): Alias("train.budget"),
    ("regularize", "grad_norm"): Alias("regularize.clip.max", "clip"),
}

# Sections of other trainers' files, for keys that hold a mapping.
SECTIONS: dict[str, str] = {
    **dict.fromkeys(["optimizer", "optimiser", "optimization"], "optim"),
    **dict.fromkeys(["training", "trainer", "train_args", "run"], "train"),
    **dict.fromkeys(["dataset", "datasets", "dataloader", "corpus"], "data"),
    **dict.fromkeys(["lr_scheduler", "scheduler", "lr_schedule"], "schedule"),
    **dict.fromkeys(["regularization", "regularisation", "regularise"], "regularize"),
    **dict.fromkeys(["eval", "evaluation", "validation", "val"], "evaluate"),
    **dict.fromkeys(["checkpoints", "checkpointing", "save", "ckpt"], "checkpoint"),
    **dict.fromkeys(["early_stopping", "early_stop", "stopping"], "stop"),
    **dict.fromkeys(["network", "architecture", "model_config", "net"], "model"),
    **dict.fromkeys(["tokenization", "tokenizer_config"], "tokenizer"),
}

# Words other trainers use for a value, by the key they are written to here.
WORDS: dict[str, dict[str, str]] = {
    "optim.kind": {
        "adam": "adamw",
        "adamw_torch": "adamw",
        "adamw_torch_fused": "adamw",
        "adamw_hf": "adamw",
        "adamw_8bit": "adamw",
        "adamw_bnb_8bit": "adamw",
        "fused_adamw": "adamw",
    },
    "schedule.kind": {
        "warmup_stable_decay": "wsd",
        "trapezoidal": "wsd",
        "constant_with_warmup": "constant",
        "cosine_with_min_lr": "cosine",
        "cosine_with_restarts": "cosine",
        "cosine_annealing": "cosine",
        "none": "constant",
    },
    "train.precision": {
        "bfloat16": "bf16",
        "float32": "fp32",
        "32": "fp32",
        "32-true": "fp32",
        "bf16-mixed": "bf16",
        "bf16-true": "bf16",
        "no": "fp32",
    },
    "train.device": {"gpu": "cuda", "cuda:0": "cuda", "mps": "cpu"},
    "model.norm": {"rmsnorm": "rms", "layernorm": "layer", "layer_norm": "layer"},
    "model.mlp": {"silu": "swiglu", "gelu_new": "gelu", "relu_squared": "relu2", "relu^2": "relu2"},
    "model.position": {"rotary": "rope", "absolute": "learned"},
    "model.family": {"gpt": "gpt2", "gpt-2": "gpt2", "llama2": "llama", "llama3": "llama"},
    "tokenizer.kind": {"character": "char", "chars": "char", "bytes": "byte", "gpt2": "pretrained"},
    "data.format": {"txt": "text", "json": "jsonl"},
    "data.split.kind": {"random": "hash", "shuffle": "hash", "end": "tail", "last": "tail"},
}

# Habits that have no single key here, and what to do instead.
ADVICE: dict[str, str] = {}


def _advise(names: str, text: str) -> None:
    ADVICE.update(dict.fromkeys(names.split(), text))


_advise(
    "gradient_accumulation_steps grad_accum_steps accumulate_grad_batches grad_accum "
    "gradient_accumulation accumulation_steps",
    "accumulation follows from two keys: train.batch (sequences per step, on all devices) and "
    "train.micro_batch (sequences per forward pass); for N, write a train.batch of N times "
    "train.micro_batch",
)
_advise(
    "output_dir out_dir save_dir checkpoint_dir run_dir run_name experiment_name logdir",
    "the run directory is chosen on the command line: wellfit train RECIPE --run DIR",
)
_advise(
    "resume_from_checkpoint resume init_from resume_from",
    "a run is continued by its directory: wellfit resume RUN",
)
_advise(
    "logging_steps log_interval log_every report_to wandb use_wandb wandb_project logger",
    "every step is recorded; look with wellfit runs show RUN or wellfit report RUN",
)
_advise(
    "fp16 half load_in_8bit load_in_4bit",
    "16-bit floats here are bf16; write train.precision: bf16, or leave it at auto",
)
_advise("bf16 tf32", "write train.precision: bf16 or fp32, or leave it at auto")
_advise(
    "min_lr final_lr lr_min end_lr",
    "the last learning rate is a share of the peak; write for example schedule.floor: 10%",
)
_advise(
    "lr_decay_iters decay_steps lr_decay_steps cosine_steps",
    "the schedule ends with train.budget; leave it out",
)
_advise(
    "beta1 beta2 adam_beta1 adam_beta2 beta_1 beta_2",
    "the two decay rates are one key; write optim.betas: [0.9, 0.95]",
)
_advise(
    "eval_iters eval_max_batches max_eval_samples max_eval_batches",
    "how much is measured is counted in tokens; write for example evaluate.tokens: 100000, or "
    "leave it at auto",
)
_advise(
    "save_strategy eval_strategy evaluation_strategy logging_strategy",
    "write how often instead, for example checkpoint.every: 5 minutes or evaluate.every: 200 steps",
)
_advise(
    "num_workers dataloader_num_workers num_proc preprocessing_num_workers",
    "reading is a memory map and needs no workers; leave it out",
)
_advise(
    "model_name_or_path base_model pretrained_model checkpoint_path model_name lora_r use_lora "
    "lora_rank adapter",
    "this version trains from random weights; leave it out",
)
_advise("shuffle", "train is always shuffled, by train.seed, and val and test never; leave it out")
_advise(
    "gradient_checkpointing activation_checkpointing use_cache flash_attention ddp fsdp deepspeed",
    "there is no such switch here; leave it out",
)

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def plain_name(key: str) -> str:
    """A key in lower case with underscores, however it was typed."""
    return _CAMEL.sub("_", key.strip().lstrip("-")).lower().replace("-", "_").replace(" ", "_")


def say(section: str, key: str, value: object) -> Said | None:
    """The alias for a key of a section, with the value in the form it takes here."""
    name = plain_name(key)
    alias = IN_SECTION.get((section, name)) or ALIASES.get(name)
    return None if alias is None else _say(alias, value)


def _say(alias: Alias, value: object) -> Said:
    if alias.value:
        return Said(alias.key, alias.value)
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    match alias.form:
        case "same" if isinstance(value, (str, int, float, list)) and value != "":
            text = WORDS.get(alias.key, {}).get(str(value).lower(), "")
            return Said(alias.key, text or show(value).strip("'\""))
        case "steps" | "tokens" if number is not None and number > 0 and number % 1 == 0:
            return Said(alias.key, f"{int(number)} {alias.form}")
        case "epochs" | "minutes" if number is not None and number > 0:
            return Said(alias.key, f"{number:g} {alias.form}")
        case "steps" if number == 0 and alias.key == "schedule.warmup":
            return Said(alias.key, "0")
        case "share" | "percent" if number is not None and 0 <= number < 1:
            return Said(alias.key, write_percent(number))
        case "clip" if number == 0 or value is None:
            return Said("regularize.clip", "null")
        case "clip" if number is not None and number > 0:
            return Said(alias.key, str(number))
        case "percent" if number is not None and 1 <= number < 100:
            return Said(alias.key, f"{number:g}%")
        case "published":
            path = value if isinstance(value, str) and value else "path/to/tokenizer.json"
            return Said(alias.key, f"{{kind: pretrained, path: {path}}}")
        case "off if 0" if value is False or value is None or (number is not None and number <= 0):
            return Said("stop", "null")
        case "off if 0" if isinstance(value, int) and value is not True:
            return Said(alias.key, str(value))
    return Said(alias.key, "", _EXAMPLES.get(alias.form, "") if alias.key == "train.budget" else "")
