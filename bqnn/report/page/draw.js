// Drawings of blocks as SVG. Python has laid them out: a page can hold thousands.

const BOX = [1.0, 0.4], COLUMN = 118, ROW = 80;  // COLUMN and ROW in pixels
// Shared by all searches: operation types, colours of lines, the grid of layouts, and
// the layout of each block by its code.
const page = {types: {}, wirings: [], lines: [], grid: 1, columns: new Map()};

function parseBlock(text) {
  const codes = text.split(";").map((part) => part.split(",").map(Number))
    .map(([index, type, kernel, a, b]) => ({index, type, kernel,
      preds: [a, b].slice(0, page.types[type].reads)}));
  const layers = codes.filter((layer) => layer.preds.length);  // without the Terminal
  const used = new Set(layers.flatMap((layer) => layer.preds));
  const sinks = layers.map((l) => l.index).filter((index) => !used.has(index));
  const edges = layers.flatMap((l) => l.preds.map((pred) => [pred, l.index]));
  return {layers, sinks, wiring: codes[codes.length - 1].kernel,
    edges: edges.concat(sinks.map((sink) => [sink, layers.length + 1]))};
}

// Where boxes and edges go, as `bqnn/report/layout.py` laid them out. `columns` are x of
// the boxes, then of the bends of each edge: one in every row that the edge passes.
function unpackLayout(block, columns) {
  const ranks = Array(block.layers.length + 2).fill(0);
  for (const [s, t] of block.edges) ranks[t] = Math.max(ranks[t], ranks[s] + 1);
  const points = columns.map((x, node) => [x / page.grid, ranks[node]]);
  let bend = ranks.length;
  const edges = block.edges.map(([s, t]) => {
    const chain = [points[s]];
    for (let rank = ranks[s] + 1; rank < ranks[t]; rank++) {
      chain.push([points[bend++][0], rank]);
    }
    return [...chain, points[t]].flatMap(
      ([x, y]) => [[x, y - BOX[1] / 2], [x, y + BOX[1] / 2]]).slice(1, -1);
  });
  return {centres: points.slice(0, ranks.length), edges};
}

function operation(layer) {
  const window_ = layer.kernel ? ` ${layer.kernel}x${layer.kernel}` : "";
  return page.types[layer.type].title + window_;
}

function describeBlock(block) {
  const reads = (preds) => preds.map((p) => (p ? `layer ${p}` : "the input")).join(" and ");
  const lines = block.layers.map((layer) =>
    `layer ${layer.index}: ${operation(layer)} of ${reads(layer.preds)}`);
  return `Block of ${block.layers.length} layers. ${lines.join("; ")}; ` +
    `output: ${reads(block.sinks)}.`;
}

// An SVG element; input on top, output at the bottom as in the paper's drawings.
function drawBlock(text) {
  const block = parseBlock(text);
  const {centres, edges} = unpackLayout(block, page.columns.get(text));
  const boxes = centres.map((c) => c[0]), lanes = edges.flat().map((point) => point[0]);
  const left = Math.min(Math.min(...boxes) - BOX[0] / 2, ...lanes) - 0.1;
  const width = Math.max(Math.max(...boxes) + BOX[0] / 2, ...lanes) + 0.1 - left;
  const height = Math.max(...centres.map((c) => c[1])) + 0.8;
  const at = ([x, y]) => [(x - left) * COLUMN, (y + 0.4) * ROW];
  const root = svg("svg", {viewBox: `0 0 ${width * COLUMN} ${height * ROW}`,
    width: width * COLUMN, height: height * ROW, role: "img", class: "block"});
  root.setAttribute("aria-label", describeBlock(block));
  root.dataset.block = text;
  root.style.minWidth = `${0.65 * width * COLUMN}px`;  // smaller could not be read
  const half = BOX[1] / 2;
  for (const edge of edges) {
    const line = edge.map(at), [x, y] = line[line.length - 1];
    root.append(svg("path", {d: curve(line), class: "edge"}),
      svg("polygon", {class: "head", points: [[x, y], [x - 4, y - 9], [x + 4, y - 9]].join(" ")}));
  }
  const labels = [["Input"], ...block.layers.map((layer) =>
    `${layer.index}: ${operation(layer)}`.replace(/ (pool|conv)/, "\n$1").split("\n")),
  block.sinks.length > 1 ? ["Output", "(concat)"] : ["Output"]];
  if (block.wiring) labels.push([labels.pop().join(" "), page.wirings[block.wiring]]);
  centres.forEach((centre, node) => {
    const [x, y] = at(centre), layer = block.layers[node - 1];
    root.append(svg("rect", {x: x - BOX[0] / 2 * COLUMN, y: y - half * ROW, rx: 7,
      width: BOX[0] * COLUMN, height: BOX[1] * ROW, class: "box",
      fill: layer ? page.types[layer.type].colour : "#FFFFFF"}));
    labels[node].forEach((part, i) => {
      const label = svg("text", {x, y: y + 4 + (i - (labels[node].length - 1) / 2) * 13});
      label.textContent = part;
      root.append(label);
    });
  });
  return root;
}

// Leaves, passes and enters upright; curves of one shape cross as seldom as lines do.
function curve(points) {
  const parts = points.slice(1).map(([x, y], i) => {
    const [fromX, fromY] = points[i], middle = (fromY + y) / 2;
    return `C ${fromX},${middle} ${x},${middle} ${x},${y}`;
  });
  return `M ${points[0]} ${parts.join(" ")}`;
}

function svg(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
