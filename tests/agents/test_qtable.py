"""Q-updates against numbers worked by hand and against plain NumPy."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from bqnn.agents import qtable
from bqnn.agents.qtable import UpdateRule
from bqnn.space.actions import NscSpace, Space
from bqnn.space.nsc import parse

pytestmark = pytest.mark.quick_compilation

F = np.float32


def _cells(space: Space, actions: np.ndarray) -> list[int]:
    """Indices of the block's Q-values in the flat table."""
    previous, cells = 0, []
    for step, action in enumerate(actions):
        if action < 0:
            break
        row = space.row_start[step] + previous * space.num_actions[step]
        cells.append(int(row + action))
        previous = action
    return cells


def _numpy_update(
    space: Space, rule: UpdateRule, q_values: np.ndarray, actions: np.ndarray, r: F
) -> np.ndarray:
    """The paper's equations, one by one, every product rounded."""
    q, cells = q_values.copy(), _cells(space, actions)
    alpha, gamma = F(rule.alpha), F(rule.gamma)
    r_t = F(r / F(len(cells))) if rule.shaped else F(0)
    for t in reversed(range(len(cells))):
        target = r
        if t < len(cells) - 1:
            start = space.row_start[t + 1] + actions[t] * space.num_actions[t + 1]
            q_max = q[start : start + space.num_actions[t + 1]].max()
            target = F(r_t + F(gamma * q_max))
        cell = cells[t]
        q[cell] = F(F(F(1) - alpha) * q[cell]) + F(alpha * target)
    return q


class UpdateTest(chex.TestCase, parameterized.TestCase):
    """The update, with and without jit."""

    @chex.variants(with_jit=True, without_jit=True)
    def test_three_layers_worked_by_hand(self) -> None:
        space = NscSpace(3).arrays
        actions = NscSpace(3).encode(parse("1,1,3,0,0;2,2,3,1,0;3,5,0,1,2"))
        a_t = jnp.asarray(actions)
        rule = UpdateRule(alpha=0.5, gamma=1.0, shaped=True)
        update = self.variant(lambda q, a, r: qtable.update(space, rule, q, a, r))
        q = np.asarray(update(qtable.init(space, 0.25), a_t, jnp.float32(0.75)))
        first, second, third = _cells(space, actions)
        # Last decision:  0.5 x 0.25 + 0.5 x 0.75 = 0.5.
        assert q[third] == F(0.5)
        # Second: r_t = 0.75 / 3 = 0.25; 0.5 x 0.25 + 0.5 x (0.25 + 0.5) = 0.5.
        assert q[second] == F(0.5)
        # First: 0.5 x 0.25 + 0.5 x (0.25 + 0.5) = 0.5.
        assert q[first] == F(0.5)
        others = np.delete(q, [first, second, third])
        assert (others == F(0.25)).all()

    @chex.variants(with_jit=True, without_jit=True)
    def test_a_spread_reward_adds_up_to_itself(self) -> None:
        space = NscSpace(3).arrays
        actions = NscSpace(3).encode(parse("1,1,3,0,0;2,2,3,1,0;3,5,0,1,2"))
        rule = UpdateRule(alpha=1.0, gamma=1.0, shaped=True, spread=True)
        update = self.variant(lambda q, a, r: qtable.update(space, rule, q, a, r))
        q = np.asarray(
            update(qtable.init(space, 0.0), jnp.asarray(actions), jnp.float32(0.75))
        )
        # 0.75 / 3 for each of three decisions, and what follows.
        assert [q[cell] for cell in _cells(space, actions)] == [0.75, 0.5, 0.25]

    @chex.variants(with_jit=True, without_jit=True)
    def test_the_papers_constants_to_the_last_bit(self) -> None:
        space = NscSpace(3).arrays
        actions = NscSpace(3).encode(parse("1,1,3,0,0;2,2,3,1,0;3,5,0,1,2"))
        a_t = jnp.asarray(actions)
        rule = UpdateRule(alpha=0.01, gamma=1.0, shaped=True)
        update = self.variant(lambda q, a, r: qtable.update(space, rule, q, a, r))
        q = qtable.init(space, 0.0)
        for _ in range(2):
            q = update(q, a_t, jnp.float32(0.6))
        first, second, third = _cells(space, actions)
        a, b, r = F(0.01), F(1) - F(0.01), F(0.6)
        r_t = r / F(3)
        last = [a * r, b * (a * r) + a * r]
        middle = [a * (r_t + last[0])]
        middle.append(b * middle[0] + a * (r_t + last[1]))
        start = [a * (r_t + middle[0])]
        start.append(b * start[0] + a * (r_t + middle[1]))
        assert [type(x) for x in (last[1], middle[1], start[1])] == [F, F, F]
        want = (start[1], middle[1], last[1])
        assert tuple(np.asarray(q)[[first, second, third]]) == want

    @parameterized.parameters((0.01, 1.0, True), (0.3, 0.9, False))
    def test_no_product_is_fused_into_a_sum(
        self, alpha: float, gamma: float, shaped: bool
    ) -> None:
        rule = UpdateRule(alpha, gamma, shaped)
        # A fused multiply-add changes the last bit of a quarter of such results.
        nsc_space = NscSpace(5)
        space, rng = nsc_space.arrays, np.random.default_rng(0)
        update = jax.jit(lambda q, a, r: qtable.update(space, rule, q, a, r))
        width = space.size + int(space.num_actions.max())
        want = rng.random(width, dtype=F)
        q = jnp.asarray(want)
        for _ in range(300):
            actions = _random_actions(space, rng)
            reward = F(rng.random(dtype=F))
            q = update(q, jnp.asarray(actions), jnp.asarray(reward))
            want = _numpy_update(space, rule, want, actions, reward)
        np.testing.assert_array_equal(np.asarray(q), want)

    def test_many_tables_at_once_come_out_as_one_by_one(self) -> None:
        rule, rng = UpdateRule(0.3, 0.9, True), np.random.default_rng(0)
        space = NscSpace(5).arrays
        tables = jnp.asarray(rng.random((4, len(qtable.init(space, 0))), F))
        actions = jnp.asarray([_random_actions(space, rng) for _ in range(4)])
        rewards = jnp.asarray(rng.random(4, F))
        update = jax.jit(functools.partial(qtable.update, space, rule))
        many = jax.jit(jax.vmap(update))(tables, actions, rewards)
        for i, new in enumerate(many):
            want = update(tables[i], actions[i], rewards[i])
            np.testing.assert_array_equal(new, want)


def _random_actions(space: Space, rng: np.random.Generator) -> np.ndarray:
    actions = np.full(len(space.num_actions), -1, np.int32)
    for step, count in enumerate(space.num_actions):
        actions[step] = rng.integers(count)
        if actions[step] == space.stop[step]:
            break
    return actions


def test_rows_are_minus_infinity_beyond_the_legal_actions() -> None:
    space = NscSpace(4).arrays
    q = qtable.init(space, 0.5)
    width = int(space.num_actions.max()) + 5
    row = np.asarray(qtable.row(space, q, jnp.int32(1), jnp.int32(3), width))
    assert row.shape == (width,)
    assert (row[: space.num_actions[1]] == 0.5).all()
    assert np.isneginf(row[space.num_actions[1] :]).all()


@pytest.mark.parametrize("max_layers", [1, 2, 3, 4, 5, 9, 23])
def test_bands_hold_every_row_and_stay_within_the_table(max_layers: int) -> None:
    space = NscSpace(max_layers).arrays
    end = len(qtable.init(space, 0.0))
    found = []
    for steps, width in qtable.bands(space):
        for t in range(max_layers)[steps]:
            found.append(t)
            assert width >= space.num_actions[t]
            rows = 1 if t == 0 else space.num_actions[t - 1] - (t > 1)
            last_row = space.row_start[t] + (rows - 1) * space.num_actions[t]
            assert last_row + width <= end
    assert found == list(range(max_layers))


@pytest.mark.parametrize("width", [7, 31, 32, 64, 704])
@pytest.mark.parametrize("levels", [1, 2, 40])
def test_ties_are_broken_by_the_draw_of_randint(width: int, levels: int) -> None:
    rng = np.random.default_rng(0)
    argmax = jax.jit(qtable.argmax_random_tie)
    for seed in range(20):
        values = rng.integers(0, levels, width).astype(F)
        ties = np.flatnonzero(values == values.max())
        key = jax.random.key(seed)
        bits = jnp.stack([jax.random.bits(k) for k in jax.random.split(key)])
        nth = int(jax.random.randint(key, (), 0, len(ties)))
        assert int(argmax(jnp.asarray(values), bits)) == ties[nth]


def test_ranks_are_checked() -> None:
    space = NscSpace(2).arrays
    rule = UpdateRule(0.1, 1.0, True)
    q = qtable.init(space, 0.0)
    with pytest.raises(AssertionError):
        qtable.update(space, rule, q, jnp.zeros((1, 2), jnp.int32), jnp.float32(0))
