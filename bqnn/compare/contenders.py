"""Contenders: the agents of a comparison, written as calls.

The keywords are the fields that differ from the configuration:
`q, q(shaped=False), evolution(population=20, batch=1)` are three contenders, and
`q_model(goal='front')` another.
"""

import ast
import dataclasses
from typing import Any, NamedTuple

from bqnn.config import AgentConfig, Config, dictionary
from bqnn.config.checks import check
from bqnn.errors import ConfigError, quote

# The section of `agent` that holds an agent's fields; "" is `agent` itself.
_SECTIONS = {
    "q": "",
    "random": "",
    "local": "",
    "q_plus": "q_plus",
    "evolution": "evolution",
    "q_model": "q_model",
}


class Contender(NamedTuple):
    """An agent to compare.

    Attributes:
      label: the text that names it.
      agent: its configuration; the schedule is stretched to the budget.
      batch: blocks per iteration.
    """

    label: str
    agent: AgentConfig
    batch: int


def parse(text: str, config: Config) -> tuple[Contender, ...]:
    """Parse contenders.

    Args:
      text: names of agents, separated by commas. Parentheses after a name may set
        `batch`, `goal`, and fields of the agent's section.
      config: has all other values.

    Raises:
      ConfigError: if the text cannot be parsed, or a value is out of its range.
    """
    try:
        tree = ast.parse(f"({text},)", mode="eval").body
        parts = tree.elts if isinstance(tree, ast.Tuple) else []
        calls = [_call(part) for part in parts]
    except (SyntaxError, ValueError) as error:
        raise ConfigError(
            f"--agents={quote(text)}: want names and fields, as in "
            "q,q(shaped=False),evolution(population=20)"
        ) from error
    labels = [ast.unparse(part).replace("'", "") for part in parts]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"--agents={quote(text)}: {label} is there twice")
    return tuple(
        _contender(label, name, fields, config)
        for label, (name, fields) in zip(labels, calls, strict=True)
    )


def _call(node: ast.expr) -> tuple[str, dict[str, Any]]:
    """Return the name and the keywords of a name or a call."""
    if isinstance(node, ast.Name):
        return node.id, {}
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError("no call")
    if node.args or not all(keyword.arg for keyword in node.keywords):
        raise ValueError("want field=value")
    return node.func.id, {
        str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords
    }


def _contender(
    label: str, name: str, fields: dict[str, Any], config: Config
) -> Contender:
    if name not in _SECTIONS:
        known = ", ".join(_SECTIONS)
        raise ConfigError(f"--agents: there is no agent {quote(name)}, only {known}")
    batch = fields.pop("batch", config.search.batch)
    if type(batch) is not int:
        raise ConfigError(f"--agents: batch is {quote(batch)}: want an integer")
    dataclasses.replace(config.search, batch=batch)  # checks its range
    values: dict[str, Any] = dataclasses.asdict(config.agent)
    values["goal"] = fields.pop("goal", config.agent.goal)
    section = values[_SECTIONS[name]] if _SECTIONS[name] else values
    section.update(fields)
    values["name"] = name
    agent = dictionary.section("agent", values, AgentConfig)
    second, want = agent.second_cost, "none: fronts are compared by one cost"
    check("agent.second_cost", second, second == "none", want)
    return Contender(label, agent, batch)
