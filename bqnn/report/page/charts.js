// Charts of searches. Every chart states in words what it shows.

const LAYOUT = {font: {family: "system-ui, sans-serif", size: 13, color: "#222"},
  paper_bgcolor: "#fff", plot_bgcolor: "#fff",
  margin: {l: 56, r: 16, t: 36, b: 44}, hovermode: "closest", autosize: true,
  legend: {orientation: "h", y: 1.02, yanchor: "bottom", x: 0}};
const OPTIONS = {responsive: true, displaylogo: false, displayModeBar: "hover",
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]]};
const MANY = 2000;  // a browser takes long to outline more marks than this
const axis = (title, more = {}) => ({title: {text: title}, gridcolor: "#e4e4e4",
  zeroline: false, automargin: true, ...more});

// Put a chart into a section; a click on a mark calls `onPick(customdata)`.
async function chart(parent, id, title, words, traces, layout, onPick) {
  const plot = element("div", {id, className: "plot"});
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", `${title}. ${words}`);
  parent.append(element("figure", {}, element("figcaption", {},
    element("strong", {textContent: title}), ` ${words}`), plot));
  const {height = 360, ...options} = {...LAYOUT, ...layout};
  plot.style.height = `${height}px`;
  await Plotly.newPlot(plot, traces, options, OPTIONS);
  if (onPick) {
    plot.on("plotly_click", ({points}) => {
      const found = points.find((point) => point.customdata != null);
      if (found) onPick(found.customdata);
    });
  }
  return plot;
}

const line = (x, y, name, colour, more = {}) => ({type: "scatter", mode: "lines+markers",
  x, y, name, line: {color: colour, width: 2}, marker: {size: 4},
  hovertemplate: `iteration %{x}: %{y:.4f}<extra>${name}</extra>`, ...more});

function band(x, low, high, name, colour) {
  const known = x.map((_, i) => i).filter((i) => low[i] != null);
  const at = known.map((i) => x[i]);
  return {type: "scatter", mode: "lines", name, hoverinfo: "skip", fill: "toself",
    x: [...at, ...at.toReversed()],
    y: [...known.map((i) => high[i]), ...known.toReversed().map((i) => low[i])],
    showlegend: false, line: {width: 0}, fillcolor: `${colour}26`};
}

// Grey stripes where epsilon is one value, darker where more is explored.
function epsilonBands(series) {
  const runs = [];
  series.epsilon.forEach((epsilon, i) => {
    const last = runs[runs.length - 1], iteration = series.iteration[i];
    if (last && last.epsilon === epsilon) last.end = iteration + 0.5;
    else runs.push({epsilon, start: iteration - 0.5, end: iteration + 0.5});
  });
  const count = series.iteration.length;
  return {
    shapes: runs.map(({epsilon, start, end}) => ({type: "rect", layer: "below",
      yref: "paper", x0: start, x1: end, y0: 0, y1: 1, line: {width: 0},
      fillcolor: `rgba(90,90,90,${(0.03 + 0.15 * epsilon).toFixed(3)})`})),
    annotations: runs.map(({epsilon, start, end}, i) => ({x: (start + end) / 2, y: 0,
      yref: "paper", yanchor: "bottom", showarrow: false, font: {size: 11},
      textangle: (end - start) / count < 0.12 ? -90 : 0,
      text: i ? `${epsilon}` : `ε ${epsilon}`})),
  };
}

// Axes of accuracy against a cost; labels at 1, 2 and 5 where the costs span little.
function costAxes(title, costs) {
  const little = most(costs) < 100 * least(costs);
  return {xaxis: axis(title, {type: "log", ...(little ? {dtick: "D2"} : {})}),
    yaxis: axis("early-stop accuracy", {tickformat: ".0%"})};
}

const ends = (values) => {
  const known = values.filter((value) => value != null);
  return [known[0], known[known.length - 1]];
};

function curves(parent, search) {
  const s = search.series, [first, last] = ends(s.reward_mean);
  const words = first == null ? "Nothing is evaluated yet." :
    `Mean reward ${fixed(first)} in the first iteration, ${fixed(last)} in the last; ` +
    `the best so far is ${fixed(ends(s.best_reward)[1])}. Bands hold 80 % of a batch; ` +
    "grey stripes show epsilon, the share of random choices.";
  return chart(parent, "curves", "Reward and early-stop accuracy.", words, [
    band(s.iteration, s.accuracy_low, s.accuracy_high, "accuracy, 10–90 %", page.lines[0]),
    band(s.iteration, s.reward_low, s.reward_high, "reward, 10–90 %", page.lines[1]),
    line(s.iteration, s.accuracy_mean, "accuracy, mean", page.lines[0]),
    line(s.iteration, s.reward_mean, "reward, mean", page.lines[1],
      {line: {color: page.lines[1], width: 2, dash: "dash"}}),
    line(s.iteration, s.best_reward, "best reward so far", page.lines[2],
      {mode: "lines", line: {color: page.lines[2], width: 2, shape: "hv"}}),
  ], {...epsilonBands(s), xaxis: axis("iteration"), yaxis: axis("reward, accuracy")});
}

const hoverText = (row) => `batch ${row.iteration}, slot ${row.slot}<br>accuracy ` +
  `${percent(row.accuracy)}, reward ${fixed(row.reward)}<br>` +
  `${row.block.match(/(.{1,48})(;|$)/g).join("<br>")}`;

// Evaluations as marks: accuracy against a cost.
const marks = (rows, cost, indices, more) => ({type: "scatter", mode: "markers",
  x: indices.map((i) => rows[cost][i]), y: indices.map((i) => rows.accuracy[i]),
  customdata: indices, hovertext: indices.map((i) => hoverText(rowAt(rows, i))),
  hoverinfo: "text", ...more});

function scatter(parent, search, cost, title, pick) {
  const rows = search.rows, known = measured(rows), {costs = [], found} = search.front || {};
  const isOfTwo = costs.length > 1 && costs.includes(cost);
  const front = isOfTwo ? found : search.fronts[cost];
  const words = known.length ? `${plural(known.length, "evaluation")}; ` + (isOfTwo ?
    `diamonds are the ${front.length} of the front, none beaten in accuracy and both costs. ` :
    `the black line joins the ${front.length} of the Pareto front, none more accurate ` +
    "for as little. ") + "A click draws the block." : "No block has an accuracy yet.";
  const evaluations = marks(rows, cost, known, {name: "evaluations", marker: {size: 8,
    opacity: 0.75, colorscale: "Viridis", color: known.map((i) => rows.iteration[i]),
    ...(known.length > MANY ? {} : {line: {width: 0.5, color: "#fff"}}),
    colorbar: {title: {text: "iteration"}, thickness: 10, len: 0.9}}});
  const best = marks(rows, cost, front, {name: "Pareto front",
    mode: isOfTwo ? "markers" : "lines+markers",
    line: {color: "#000", shape: "hv", width: 1.5},
    marker: {symbol: "diamond-open", size: 12, color: "#000", line: {width: 2}}});
  return chart(parent, `by-${cost}`, `Accuracy against ${title}.`, words,
    [evaluations, best], {showlegend: false, ...costAxes(title, evaluations.x)}, pick);
}

const limitsOn = (search) =>
  `a limit on ${search.front.costs.map((cost) => search.costs[cost]).join(" and one on ")}`;

// The blocks of the front, and by one cost the limits within which each is the best.
function frontTable(parent, search, pick) {
  const rows = search.rows, {costs: [cost, ...others], found} = search.front;
  const front = others.length ? found.toSorted((a, b) => rows.accuracy[b] - rows.accuracy[a]) :
    found;
  const lines = front.map((index, i) => {
    const row = rowAt(rows, index), next = front[i + 1];
    const block = element("button", {type: "button", className: "nsc",
      title: "Draw this block", textContent: row.block});
    block.addEventListener("click", () => pick(index));
    return [others.length ? [cost, ...others].map((name) => si(row[name])).join(" and ") :
      `from ${si(row[cost])}` + (next == null ? " on" : ` to below ${si(rows[cost][next])}`),
    percent(row.accuracy), si(row.network_flops), si(row.params), block];
  });
  parent.append(plainTable(`The front: which block to take within ${limitsOn(search)}` +
    (others.length ? ": the first that is within both" : ""),
  ["limit", "accuracy", "FLOPs", "parameters", "block"], lines));
}

function hypervolumeChart(parent, search) {
  const areas = search.front.hypervolume, s = search.series;
  const words = areas.length ? `${fixed(areas[0])} after the first iteration, ` +
    `${fixed(areas[areas.length - 1])} after the last: the best accuracy within ` +
    `${limitsOn(search)}, on average over limits, evenly spaced by ` +
    "logarithm from the least to the largest that was measured." :
    "All blocks measured cost the same.";
  return chart(parent, "hypervolume", "Hypervolume of the front.", words,
    [line(s.iteration, areas, "hypervolume", page.lines[0])],
    {...epsilonBands(s), xaxis: axis("iteration"), yaxis: axis("hypervolume")});
}

function phaseChart(parent, search) {
  const names = Object.keys(search.phases), values = Object.values(search.phases);
  const total = names.reduce((sum, n, i) => sum + (n === "hidden" ? 0 : values[i]), 0);
  const words = names.length ? `${duration(total)} of work in all` +
    (names.includes("hidden") ? "; hidden is what was prepared while a worker trained." :
      ".") : "No times are recorded.";
  return chart(parent, "phases", "Time by phase.", words, [{type: "bar",
    orientation: "h", x: values, y: names, marker: {color: page.lines[0]},
    text: values.map(duration), textposition: "auto",
    hovertemplate: "%{y}: %{text}<extra></extra>"}],
  {height: 90 + 36 * names.length, xaxis: axis("seconds"),
    yaxis: axis("", {autorange: "reversed"})});
}

function timeline(parent, search) {
  const spans = search.spans, workers = [...new Set(spans.worker)].sort(
    (a, b) => a.localeCompare(b, undefined, {numeric: true}));
  const start = least(spans.start), statuses = [...new Set(spans.status)].sort();
  const traces = statuses.map((status) => {
    const x = [], y = [], text = [];
    spans.status.forEach((value, i) => {
      if (value !== status) return;
      x.push(spans.start[i] - start, spans.end[i] - start, null);
      y.push(plain(spans.worker[i]), plain(spans.worker[i]), null);
      const what = `batch ${spans.iteration[i]}, slot ${spans.slot[i]}: ${status}, ` +
        duration(spans.end[i] - spans.start[i]);
      text.push(what, what, null);
    });
    const colour = status === "ok" ? page.lines[5] : page.lines[1 + statuses.indexOf(status) % 4];
    return {type: "scatter", name: status, x, y, text,
      mode: spans.status.length > MANY ? "lines" : "lines+markers",
      hoverinfo: "text", line: {width: 12, color: colour},
      marker: {symbol: "line-ns", size: 9, line: {width: 1, color: "#333"}}};
  });
  const words = workers.length ? `${plural(workers.length, "worker")} over ` +
    `${duration(most(spans.end) - start)}, each evaluation up to its record.` :
    "No worker has finished anything.";
  return chart(parent, "timeline", "Who did what, when.", words, traces,
    {height: 130 + 26 * workers.length, showlegend: statuses.length > 1,
      xaxis: axis("seconds since the start"),
      yaxis: axis("", {categoryorder: "array", categoryarray: workers.map(plain).toReversed()})});
}
