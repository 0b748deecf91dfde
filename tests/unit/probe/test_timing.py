"""Kinds of operations by their names, and the arithmetic of a step's time, also on a GPU."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from wellfit.probe.timing import breakdown, during, kind_of


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ("aten::mm", "matrix products"),
        ("aten::baddbmm_ < CausalAttention", "matrix products"),
        ("nvjet_tst_128x256_64x4_2x1_v_bz_TNT < CUDAGraph", "matrix products"),
        # what copies for a product is no product, and what adds up a bias is none either
        ("aten::copy_ < aten::addmm < aten::linear", "copies"),
        ("aten::sum < autograd::engine::evaluate_function: AddmmBackward0", "elementwise"),
        # our own functions, forward and backward, with all that they call
        ("aten::mul < RmsNorm", "norms"),
        ("aten::mul < RmsNormBackward < autograd::engine::evaluate_function: x", "norms"),
        ("aten::copy_ < aten::to < CausalAttention", "attention"),
        ("aten::_softmax_backward_data < CausalAttentionBackward", "attention"),
        ("aten::mul < ReluSquaredBackward", "activation"),
        ("aten::mul < TimesWindows", "dropout"),
        ("aten::exp < _Chunked", "loss"),
        ("aten::mm < _Chunked", "matrix products"),
        # and torch's
        ("aten::_scaled_dot_product_flash_attention_for_cpu_backward", "attention"),
        ("aten::_softmax < aten::softmax", "attention"),
        ("aten::_log_softmax < aten::cross_entropy_loss", "loss"),
        ("LogSoftmaxBackward0", "loss"),
        ("aten::nll_loss_forward", "loss"),
        ("aten::native_layer_norm < aten::layer_norm", "norms"),
        ("aten::_fused_rms_norm", "norms"),
        ("aten::normal_", "other"),
        ("aten::silu", "activation"),
        ("aten::embedding_dense_backward < EmbeddingBackward0", "embedding"),
        ("aten::copy_ < aten::_to_copy < aten::to", "copies"),
        ("aten::add_ < torch::autograd::AccumulateGrad", "elementwise"),
        ("aten::as_strided < aten::transpose < aten::t < aten::linear", "dispatch"),
        ("graph_0_cpp_fused__softmax_native_layer_norm_0 < CompiledFunction", "fused"),
        ("triton_poi_fused_add_native_layer_norm_3", "fused"),
        ("triton_tem_fused_mm_2", "matrix products"),
        ("AOTDispatcher Runtime Wrapper Prologue < Torch-Compiled Region: 0/0", "dispatch"),
        ("aten::sort", "other"),
    ],
)
def test_an_operation_is_of_the_kind_that_its_name_or_its_caller_says(names, kind):
    # innermost first, as it was called
    assert kind_of(names.split(" < ")) == kind


def test_marks_cost_nothing_where_no_profiler_runs():
    # not even a record function, which takes microseconds
    assert isinstance(during("forward"), nullcontext)


def test_the_pieces_of_a_step_add_up_to_it():
    x, weight = torch.randn(64, 64), torch.randn(64, 64, requires_grad=True)
    with torch.profiler.profile(record_shapes=True) as seen, during("step"):
        with during("forward"):
            loss = (x @ weight).relu().sum()
        with during("optimizer"), during("backward"):  # as a line search evaluates
            loss.backward()
    found = breakdown([seen.events(), seen.events()])
    (whole,) = (e for e in seen.events() if e.name == "wellfit::step")
    # to the clock's tick, and the mean of two alike is each of them
    assert found["step_s"] == pytest.approx(whole.cpu_time_total * 1e-6)
    for rows in ("parts", "kinds", "kinds_by_part"):
        assert sum(row["s"] for row in found[rows]) == pytest.approx(found["step_s"])
        assert sum(row["frac"] for row in found[rows]) == pytest.approx(1.0)
    # a part inside a part counts as itself
    assert {row["part"] for row in found["parts"]} == {"step", "forward", "backward", "optimizer"}
    products = [row for row in found["operations"] if row["operation"] == "aten::mm"]
    assert [(row["shapes"], row["calls"]) for row in products] == [("64x64, 64x64", 2.0)]
    own = [row["frac"] for row in found["kinds"] if row["kind"] == "matrix products"]
    assert found["matrix_products_frac"] == own[0] > 0


def test_another_thread_takes_no_time_of_a_step():
    step = _event("wellfit::step", 0, 100, self_cpu_time_total=60.0)
    mm = _event("aten::mm", 10, 50, cpu_parent=step, self_cpu_time_total=40.0)
    beside = _event("gloo:all_reduce", 20, 90, self_cpu_time_total=70.0)
    inside = _event("aten::add_", 30, 40, cpu_parent=beside)
    # what exchanges gradients runs beside it
    assert breakdown([[step, mm, beside, inside]])["step_s"] == pytest.approx(100e-6)


def _event(name: str, start: float, end: float, **more: Any) -> Any:
    made = {
        "device_type": SimpleNamespace(name="CPU"), "is_async": False, "cpu_parent": None,
        "input_shapes": [], "kernels": [], "is_user_annotation": name.startswith("wellfit::"),
        "time_range": SimpleNamespace(start=start, end=end), "cpu_time_total": end - start,
        "self_cpu_time_total": 1.0,
    }  # fmt: skip
    return SimpleNamespace(name=name, **{**made, **more})


def test_on_a_gpu_time_is_that_of_kernels_and_of_waiting_for_them():
    cuda = SimpleNamespace(name="CUDA")
    step = _event("wellfit::step", 0, 100)
    data = _event("wellfit::data", 0, 10, cpu_parent=step)
    # what the profiler draws on the device for a range is no kernel
    mark = SimpleNamespace(name="wellfit::forward", duration=55.0)
    forward = _event("wellfit::forward", 10, 20, cpu_parent=step, kernels=[mark])
    gemm = SimpleNamespace(name="sm90_gemm", duration=40.0)
    mm = _event("aten::mm", 11, 12, cpu_parent=forward, kernels=[gemm])
    # autograd launches from a thread of its own, which no range is around
    flash = SimpleNamespace(name="flash_bwd", duration=25.0)
    backward = _event("wellfit::backward", 20, 95, cpu_parent=step)
    elsewhere = _event("aten::_flash_attention_backward", 30, 31, kernels=[flash])
    kernels = [
        _event("sm90_gemm", 15, 55, device_type=cuda),
        _event("flash_bwd", 60, 85, device_type=cuda),
        _event("wellfit::forward", 15, 70, device_type=cuda),
    ]
    found = breakdown([[step, data, forward, mm, backward, elsewhere, *kernels]])
    spent = {
        (row["part"], row["kind"]): row["s"] * 1e6 for row in found["kinds_by_part"] if row["s"]
    }
    # a kernel's time is of the part that launched it; a gap, of the part that the thread was in
    assert spent == pytest.approx({
        ("data", "idle"): 10, ("forward", "idle"): 5, ("forward", "matrix products"): 40,
        ("backward", "idle"): 15, ("backward", "attention"): 25, ("step", "idle"): 5,
    })  # fmt: skip
    assert found["step_s"] == pytest.approx(100e-6)
