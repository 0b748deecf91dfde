"""Export of what a LoRA run trained, in the layout of the `peft` library, checked on its base.

Dims: B texts, T time.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors import safe_open

from wellfit.errors import MissingExtra, RunError, need
from wellfit.export.hf import ExportReport, class_for, difference_between, logits_of, probe_text
from wellfit.model import read_adapter, read_published
from wellfit.model.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from wellfit.model.encoder import quietly
from wellfit.model.publish import read_json, staged
from wellfit.store import RunDir
from wellfit.tokenizer import load_tokenizer


def export_adapter(run: RunDir, out: Path) -> ExportReport:
    """Write the run's adapter to ``out``, and check that on its base it is the run's model.

    Raises ``RunError`` for a run without one, ``WellfitError`` when a check fails.
    """
    if not (run.adapter / ADAPTER_CONFIG).is_file():
        raise RunError(
            f"{run.path} has no adapter: it trained whole weights. Export those with: "
            f"wellfit export {run.path} --to hf {out}"
        )
    files = (ADAPTER_CONFIG, ADAPTER_WEIGHTS)
    with staged(out) as folder:
        for name in files:
            shutil.copyfile(run.adapter / name, folder / name)
        base = Path(read_json(folder / ADAPTER_CONFIG)["base_model_name_or_path"])
        checked, difference = [f"not compared: its base is not at {base}"], None
        if base.is_dir():
            checked, difference = _check(run, folder, base)
        with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as held:
            parameters = sum(held.get_tensor(name).numel() for name in held.keys())
    return ExportReport(run.name, "peft", out, files, parameters, tuple(checked), difference)


def _check(run: RunDir, folder: Path, base: Path) -> tuple[list[str], float | None]:
    """What was compared, and the largest difference of a logit between peft and us."""
    merged, tokenizer = read_published(run.model), load_tokenizer(run.model)
    shape = merged.shape
    decoder = read_published(base, shape)
    read_adapter(folder, decoder)
    ids = tokenizer.encode(probe_text(tokenizer, context=shape.context)).astype("int64")
    tokens_BT = torch.from_numpy(ids[: shape.context])[None]
    ours = logits_of(decoder, tokens_BT)
    between = "the adapter on its base and the model"
    off = difference_between(ours, logits_of(merged, tokens_BT), names=between)
    checked = [f"on its base it is the run's model: logits differ by at most {off:.1e}"]
    if shape.outputs is not None and shape.pool != "last":
        said = f"not compared with peft: transformers' classes do not read the {shape.pool}"
        return [*checked, said], None
    try:
        transformers = need("transformers", extra="hf", why="comparing with peft")
        peft = need("peft", extra="hf", why="comparing with peft")
    except MissingExtra as e:
        return [*checked, f"not compared with peft: {e}"], None
    with quietly(transformers):
        labels = {} if shape.outputs is None else {"num_labels": shape.outputs}
        whole = class_for(transformers, decoder).from_pretrained(
            base, dtype=torch.float32, attn_implementation="eager", **labels
        )
        theirs = peft.PeftModel.from_pretrained(whole, folder).eval()
    with torch.inference_mode():
        theirs_logits = theirs(tokens_BT).logits
    difference = difference_between(ours, theirs_logits, names="peft and wellfit")
    return [*checked, f"peft's logits differ by at most {difference:.1e}"], difference
