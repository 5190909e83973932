// Several searches laid over each other, and the choice of the one shown in full.

async function overlay(searches, state) {
  const parent = document.getElementById("overlay");
  parent.hidden = false;
  parent.append(element("h2", {textContent: "Side by side"}), comparison(searches));
  const dashes = ["solid", "dash", "dot", "dashdot", "longdash"];
  const styled = (key, search, i) => line(evaluations(search), search.series[key],
    plain(search.name), page.lines[i % page.lines.length], {mode: "lines",
      hovertemplate: "%{x} evaluations: %{y:.4f}<extra>%{fullData.name}</extra>",
      line: {width: 2, color: page.lines[i % page.lines.length], dash: dashes[i % dashes.length]}});
  const axes = {xaxis: axis("evaluations"), yaxis: axis("reward")};
  const grid = element("div", {className: "grid"});
  parent.append(grid);
  await chart(grid, "overlay-best", "Best reward so far.", "A line for each search.",
    searches.map((search, i) => styled("best_reward", search, i)), axes);
  await chart(grid, "overlay-mean", "Mean reward of the batch.", "A line for each search.",
    searches.map((search, i) => styled("reward_mean", search, i)), axes);
  for (const [cost, title] of [["flops", "FLOPs of the block"],
    ["params", "parameters of the network"]]) {
    await overlaidScatter(grid, searches, cost, title);
  }
  parent.append(chooser(searches, state));
}

// Evaluations after each batch: batches of two searches may differ in size.
function evaluations(search) {
  let sum = 0;
  return search.series.evaluated.map((count) => (sum += count));
}

function overlaidScatter(parent, searches, cost, title) {
  const symbols = ["circle", "square", "diamond", "cross", "triangle-up"];
  const traces = searches.map(({name, rows}, n) => {
    const indices = measured(rows);
    return marks(rows, cost, indices, {name: plain(name),
      customdata: indices.map((i) => [n, i]),
      marker: {size: 8, opacity: 0.65, symbol: symbols[n % symbols.length],
        color: page.lines[n % page.lines.length]}});
  });
  return chart(parent, `overlay-${cost}`, `Accuracy against ${title}.`,
    "A click draws the block.", traces,
    costAxes(title, traces.flatMap((trace) => trace.x)),
    ([n, index]) => showBlock(searches[n], index));
}

function comparison(searches) {
  const lines = searches.map((search) => {
    const rows = search.rows, best = search.best[0];
    const count = (test) => rows.status.filter(test).length;
    return [search.name, search.agent, search.seed, rows.block.length,
      best == null ? "–" : fixed(rows.reward[best]),
      percent(search.series.best_accuracy.at(-1)),
      count((status) => status === "reused"),
      count((status) => !["ok", "reused", "stopped"].includes(status)),
      duration(rows.seconds.reduce((sum, value) => sum + value, 0))];
  });
  return plainTable("The searches", ["search", "agent", "seed", "evaluations",
    "best reward", "best accuracy", "reused", "failed", "work"], lines);
}

function chooser(searches, state) {
  const select = element("select", {id: "search"}, ...searches.map((search, i) =>
    element("option", {value: i, textContent: search.name})));
  select.value = searches[state.search] ? state.search : 0;
  select.addEventListener("change", () => {
    state.search = Number(select.value);
    document.getElementById("panel").hidden = true;
    showSearch(searches[state.search], state);
  });
  return element("p", {}, element("label", {htmlFor: "search",
    textContent: "In full below: "}), select);
}
