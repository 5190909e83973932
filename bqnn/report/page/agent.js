// The agent: Q-values, visits, the greedy block, lengths of blocks, reused results.

function heatmap(parent, id, title, words, q, values, unit) {
  const layers = values.map((_, t) => t + q.first);
  const z = q.types.map((_, k) => values.map((row) => row[k]));
  return chart(parent, id, title, words, [{type: "heatmap", x: layers, y: q.types, z,
    colorscale: "Viridis", hoverongaps: false, xgap: 1, ygap: 1,
    colorbar: {thickness: 10},
    hovertemplate: `layer %{x}, %{y}: %{z} ${unit}<extra></extra>`}],
  {height: 300, xaxis: axis("layer", {dtick: layers.length > 12 ? 2 : 1}),
    yaxis: axis("", {autorange: "reversed"})});
}

// Both heat maps, and a slider over the batches told.
async function qCharts(parent, search) {
  const q = search.q_history, last = q.values.length - 1;
  const slider = element("input", {type: "range", min: 0, max: last, value: last,
    id: "told"});
  const output = element("output", {htmlFor: "told"});
  const grid = element("div", {className: "grid"});
  parent.append(element("p", {}, element("label", {htmlFor: "told",
    textContent: "After batch "}), slider, " ", output), grid);
  const charts = [
    await heatmap(grid, "q-values", "Q-values by layer and type.", "Mean over the " +
      "decisions tried so far; empty where none was. Lighter is better.", q,
    q.values[last], ""),
    await heatmap(grid, "visits", "Decisions tried.", "How often each layer and type " +
      "was told to the agent.", q, q.visits[last], "times"),
  ];
  const show = () => {
    output.textContent = `${Number(slider.value) + 1} of ${last + 1}`;
    [q.values, q.visits].forEach((values, i) => {
      const z = q.types.map((_, k) => values[slider.value].map((row) => row[k]));
      Plotly.restyle(charts[i], {z: [z]});
    });
  };
  slider.addEventListener("input", show);
  output.textContent = `${last + 1} of ${last + 1}`;
}

const countLayers = (block) => block.split(";").length - 1;

function lengths(parent, search, pick) {
  const s = search.series, greedy = search.q_history ? search.q_history.greedy : [];
  const traces = [line(s.iteration, s.length_mean, "mean of the batch", page.lines[0])];
  if (greedy.length) {
    traces.push(line(greedy.map((_, i) => i), greedy.map(countLayers),
      "greedy block", page.lines[1], {customdata: greedy, line: {color: page.lines[1],
        width: 2, shape: "hv"}, hovertext: greedy.map((block) =>
        block.match(/(.{1,48})(;|$)/g).join("<br>")), hovertemplate:
          "after batch %{x}: %{y} layers<br>%{hovertext}<extra></extra>"}));
  }
  const changes = greedy.filter((block, i) => i && block !== greedy[i - 1]).length;
  const words = "Layers without the Terminal." + (greedy.length ?
    ` The greedy block, which the agent holds best, changed ${plural(changes, "time")}; ` +
    "a click draws it." : "");
  return chart(parent, "lengths", "Length of blocks.", words, traces,
    {...epsilonBands(s), xaxis: axis("iteration"),
      yaxis: axis("layers", {rangemode: "tozero"})}, pick);
}

function reused(parent, search) {
  const s = search.series, total = search.rows.status;
  const count = total.filter((status) => status === "reused").length;
  return chart(parent, "reused", "Reused results.", `${count} of ${total.length} ` +
    "evaluations took the result of an equal block, which was not trained again.",
  [line(s.iteration, s.reused, "share of the batch", page.lines[3])],
  {...epsilonBands(s), showlegend: false, xaxis: axis("iteration"),
    yaxis: axis("share of the batch", {tickformat: ".0%", rangemode: "tozero"})});
}

// Every greedy block since it last changed, newest first, each to be drawn.
function greedyList(parent, search, pick) {
  const {greedy} = search.q_history, list = element("ol", {reversed: true});
  const starts = greedy.map((_, i) => i).filter((i) => greedy[i] !== greedy[i - 1]);
  starts.reverse().forEach((i) => {
    const button = element("button", {type: "button",
      textContent: `after batch ${i + 1}: ${plural(countLayers(greedy[i]), "layer")}`});
    button.addEventListener("click", () => pick(greedy[i]));
    list.append(element("li", {}, button, " ", element("code", {textContent: greedy[i]})));
  });
  parent.append(element("details", {}, element("summary",
    {textContent: `The greedy block over time: ${plural(starts.length, "entry", "entries")}`}),
  list));
}

async function agentSection(parent, search, pick) {
  const q = search.q_history;
  if (!q) {
    parent.append(element("p", {textContent: `The agent ${search.agent} has no ` +
      "Q-values: charts of them are left out."}));
  } else if (!q.values.length) {
    parent.append(element("p", {textContent: "No batch was told to the agent yet."}));
  } else {
    if (q.differs) {
      parent.append(element("p", {className: "warning", textContent: "Telling the " +
        "batches again gave another digest than the journal records: the Q-values " +
        "below are not exactly those of the search. Replay it with the command below."}));
    }
    await qCharts(parent, search);
  }
  const grid = element("div", {className: "grid"});
  parent.append(grid);
  await lengths(grid, search, pick);
  await reused(grid, search);
  if (q && q.greedy.length) greedyList(parent, search, pick);
}
