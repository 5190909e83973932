"""The PyTorch twin: the same functions as ours, or the comparison is not fair."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from bqnn.config import TrainConfig
from bqnn.engines.steps import loss_fn
from bqnn.errors import ConfigError
from bqnn.networks.network import Network, Variables, init_variables
from bqnn.networks.plan import ImageSpec, NetworkPlan, Node, plan
from bqnn.space.nsc import parse
from tests.helpers.blocks import ALL_TYPES, random_block
from tests.helpers.networks import SPEC, random_dataset, small

pytest.importorskip("torch")

import torch
from torch.nn import functional as F  # noqa: N812

from benchmarks.torch_fit import train_steps
from benchmarks.torch_network import TorchNetwork

torch.set_num_threads(1)  # as XLA: small operations wait for a second thread
BATCH = 8


def _random_plan(seed: int, max_layers: int = 12) -> NetworkPlan:
    """Draw a block; both width rules; the first four get the ImageNet stem."""
    block = random_block(np.random.default_rng(seed), max_layers, ALL_TYPES)
    width = ("uniform", "native")[seed % 2]
    if seed >= 4:
        return plan(block, small(width, widths=(4,)), SPEC)
    config = small(width, stem="imagenet", widths=(4, 6))
    return plan(block, config, ImageSpec(33, 32, 3, 10))  # 17 x 16, 9 x 8, 5 x 4


def _variables(network: NetworkPlan, seed: int) -> Variables:
    """Draw variables of which none is 0 or 1, as they are after some training."""
    rng = np.random.default_rng(seed)

    def perturbed(path: Any, x: jax.Array) -> jax.Array:
        noise = jnp.asarray(rng.uniform(-0.3, 0.3, x.shape), jnp.float32)
        return x if path[-1].key == "kernel" else x + noise

    return jax.tree_util.tree_map_with_path(perturbed, init_variables(network, seed))


def _images(network: NetworkPlan, seed: int) -> jax.Array:
    image = network.nodes[0]
    shape = (BATCH, image.height, image.width, image.channels)
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.standard_normal(shape, np.float32))


_AXES = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def _load_variables(network: TorchNetwork, variables: Variables) -> None:
    """Copy `params` and `batch_stats` of our network of the same plan into its twin."""
    state = {}
    leaves = traverse_util.flatten_dict(dict(variables))
    for (_, node, part, leaf), value in leaves.items():
        array = np.array(value).transpose(_AXES[value.ndim])
        state[f"layers.{node}.{part}.{_LEAVES[leaf]}"] = torch.from_numpy(array)
    network.load_state_dict(state)


def _twin(network: NetworkPlan, variables: Variables) -> TorchNetwork:
    twin = TorchNetwork(network)
    _load_variables(twin, variables)
    return twin


def _torch(x: jax.Array) -> torch.Tensor:
    return torch.from_numpy(np.array(x)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("train", [False, True])
def test_same_logits(seed: int, train: bool) -> None:
    network = _random_plan(seed)
    variables, images = _variables(network, seed), _images(network, seed)
    ours, _ = Network(network).apply(
        variables, images, train=train, mutable=["batch_stats"]
    )
    with torch.inference_mode():
        theirs = _twin(network, variables).train(train)(_torch(images)).numpy()
    scale = max(1.0, float(np.abs(ours).max()))
    np.testing.assert_allclose(theirs / scale, ours / scale, rtol=0, atol=1e-4)


@pytest.mark.parametrize("seed", [4, 5, 6, 7])
def test_same_gradients(seed: int) -> None:
    network = _random_plan(seed, max_layers=5)
    variables, images = _variables(network, seed), _images(network, seed)
    labels = np.arange(BATCH, dtype=np.int32) % 10
    grads, stats = jax.grad(functools.partial(loss_fn, Network(network)), has_aux=True)(
        variables["params"], variables["batch_stats"], images, labels
    )
    ours = _twin(network, {"params": grads, "batch_stats": stats})
    theirs = _twin(network, variables).train()
    F.cross_entropy(theirs(_torch(images)), torch.tensor(labels).long()).backward()
    wanted = {name: p.detach().numpy() for name, p in ours.named_parameters()}
    # A bias that a normalisation takes out again has gradient 0 but for rounding.
    atol = 1e-5 * max(np.abs(grad).max() for grad in wanted.values())
    for name, parameter in theirs.named_parameters():
        assert parameter.grad is not None
        np.testing.assert_allclose(
            parameter.grad.numpy(), wanted[name], rtol=1e-3, atol=atol, err_msg=name
        )


def test_running_statistics_differ_by_the_unbiased_variance_alone() -> None:
    network = plan(parse("1,4,0,0,0"), small(widths=(4,)), SPEC)
    variables, images = _variables(network, 0), _images(network, 0)
    _, updated = Network(network).apply(
        variables, images, train=True, mutable=["batch_stats"]
    )
    before = variables["batch_stats"]["stem"]["norm"]
    after = updated["batch_stats"]["stem"]["norm"]
    twin = _twin(network, variables).train()
    twin(_torch(images))
    stats = dict(twin.named_buffers(prefix="", recurse=True))
    mean, var = (stats[f"layers.stem.norm.running_{name}"] for name in ("mean", "var"))
    count = images.size / images.shape[-1]
    unbiased = (after["var"] - 0.9 * before["var"]) * (count / (count - 1))
    np.testing.assert_allclose(mean.numpy(), after["mean"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(var.numpy(), 0.9 * before["var"] + unbiased, rtol=1e-5)


@pytest.mark.parametrize(("kernel", "stride"), [(2, 1), (2, 2), (3, 2), (7, 2)])
@pytest.mark.parametrize("op", ["max_pool", "average_pool", "stem"])
def test_same_padding(op: str, kernel: int, stride: int) -> None:
    image = Node("image", "input", 0, 1, (), 7, 8, 3, 0, 0, 0)
    layer = Node("layer", op, kernel, stride, (0,), 0, 0, 3, 0, 0, 0)
    network = NetworkPlan((image, layer))
    variables, images = _variables(network, 0), _images(network, 0)
    ours = np.asarray(Network(network).apply(variables, images, train=False))
    theirs = _twin(network, variables).eval()(_torch(images)).permute(0, 2, 3, 1)
    np.testing.assert_allclose(theirs.detach().numpy(), ours, rtol=1e-5, atol=1e-5)


def test_other_variables_are_refused() -> None:
    network = plan(parse("1,1,3,0,0"), small(), SPEC)
    other = plan(parse("1,1,5,0,0"), small(), SPEC)
    with pytest.raises(RuntimeError, match="size mismatch"):
        _twin(network, init_variables(other, 0))


def test_train_steps_learns() -> None:
    dataset = random_dataset(100, 30, ImageSpec(8, 8, 1, 4))
    network = plan(parse("1,1,3,0,0;2,5,0,0,1"), small(), dataset.spec)
    config = TrainConfig(batch=16, learning_rate=0.02)
    accuracy, seconds = train_steps(network, config, dataset, seed=0, steps=60)
    assert accuracy > 0.6
    assert accuracy * 30 == pytest.approx(round(accuracy * 30))
    assert list(seconds) == ["prepare", "train", "evaluate"]
    assert min(seconds.values()) > 0


def test_train_steps_repeat_and_take_a_batch_larger_than_the_data() -> None:
    dataset = random_dataset(train=20)
    network = plan(parse("1,1,3,0,0"), small(), dataset.spec)
    first, second = (
        train_steps(network, TrainConfig(), dataset, seed=1, steps=3).accuracy
        for _ in range(2)
    )
    assert first == second


def test_train_steps_wants_float32() -> None:
    dataset = random_dataset()
    network = plan(parse("1,1,3,0,0"), small(), dataset.spec)
    with pytest.raises(ConfigError, match="train.dtype is 'bfloat16': want float32"):
        train_steps(network, TrainConfig(dtype="bfloat16"), dataset, seed=0, steps=1)
