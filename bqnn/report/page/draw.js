// Drawings of blocks: `bqnn/report/layout.py` in JavaScript, and the SVG around it.
// A page can hold thousands of blocks; each is laid out when it is asked for.

const BEND_WIDTH = 0.4, SWEEPS = 24;
const BOX = [1.0, 0.4], COLUMN = 118, ROW = 80;

function parseBlock(text) {
  const layers = text.split(";").map((part) => part.split(",").map(Number))
    .map(([index, type, kernel, a, b]) => ({index, type, kernel,
      preds: type === 7 ? [] : type >= 5 ? [a, b] : [a]}))
    .filter((layer) => layer.type !== 7);
  const used = new Set(layers.flatMap((layer) => layer.preds));
  const sinks = layers.map((l) => l.index).filter((index) => !used.has(index));
  const edges = layers.flatMap((l) => l.preds.map((pred) => [pred, l.index]));
  return {layers, sinks,
    edges: edges.concat(sinks.map((sink) => [sink, layers.length + 1]))};
}

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

function layoutBlock(block) {
  const real = block.layers.length + 2, ranks = Array(real).fill(0);
  for (const [s, t] of [...block.edges].sort((a, b) => a[1] - b[1])) {
    ranks[t] = Math.max(ranks[t], ranks[s] + 1);
  }
  const chains = block.edges.map(([source, target]) => {
    const chain = [source];
    for (let rank = ranks[source] + 1; rank < ranks[target]; rank++) {
      chain.push(ranks.push(rank) - 1);
    }
    return [...chain, target];
  });
  const rows = Array.from({length: Math.max(...ranks) + 1}, () => []);
  ranks.forEach((rank, node) => rows[rank].push(node));
  const near = ranks.map(() => []);
  for (const chain of chains) {
    for (let i = 1; i < chain.length; i++) {
      near[chain[i - 1]].push(chain[i]);
      near[chain[i]].push(chain[i - 1]);
    }
  }
  const x = coordinates(leastCrossings(rows, near, ranks), near, real);
  const points = ranks.map((rank, node) => [x[node], rank]);
  return {centres: points.slice(0, real),
    edges: chains.map((chain) => chain.map((node) => points[node]).flatMap(
      ([cx, y]) => [[cx, y - BOX[1] / 2], [cx, y + BOX[1] / 2]]).slice(1, -1))};
}

function placesOf(rows) {
  const place = [];
  rows.forEach((row) => row.forEach((node, i) => { place[node] = i; }));
  return place;
}

function leastCrossings(rows, near, ranks) {
  let best = rows, fewest = crossings(rows, near, ranks);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    rows = reorder(rows, near, ranks, sweep % 2 ? -1 : 1);
    const count = crossings(rows, near, ranks);
    if (count < fewest) [best, fewest] = [rows, count];
  }
  return best;
}

function reorder(rows, near, ranks, step) {
  const place = placesOf(rows), result = [...rows];
  for (let i = 0; i < rows.length; i++) {
    const rank = step > 0 ? i : rows.length - 1 - i;
    const centre = new Map(rows[rank].map((node) => {
      const seen = near[node].filter((n) => ranks[n] === rank - step);
      return [node, seen.length ? mean(seen.map((n) => place[n])) : place[node]];
    }));
    result[rank] = [...rows[rank]].sort((a, b) => centre.get(a) - centre.get(b));
    result[rank].forEach((node, k) => { place[node] = k; });
  }
  return result;
}

function crossings(rows, near, ranks) {
  const place = placesOf(rows);
  let total = 0;
  rows.forEach((row, rank) => {
    const pairs = row.flatMap((a) => near[a].filter((b) => ranks[b] === rank + 1)
      .map((b) => [place[a], place[b]]));
    pairs.forEach(([a, b], i) => {
      for (let j = 0; j < i; j++) {
        if ((a - pairs[j][0]) * (b - pairs[j][1]) < 0) total++;
      }
    });
  });
  return total;
}

function coordinates(rows, near, real) {
  const size = near.map((_, node) => (node < real ? 1 : BEND_WIDTH));
  const x = size.map(() => 0);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (const row of sweep % 2 ? [...rows].reverse() : rows) {
      const wanted = row.map((node) => mean(near[node].map((n) => x[n])));
      spread(wanted, row, size).forEach((value, i) => { x[row[i]] = value; });
    }
  }
  return x;
}

// Isotonic regression, as in layout.py: apart by their widths, else near what they want.
function spread(wanted, row, size) {
  const gaps = [0], pools = [];
  for (let i = 1; i < row.length; i++) {
    gaps.push(gaps[i - 1] + (size[row[i - 1]] + size[row[i]]) / 2 * 1.25);
  }
  wanted.forEach((value, i) => {
    let level = value - gaps[i], count = 1;
    while (pools.length && pools[pools.length - 1][0] > level) {
      const [other, number] = pools.pop();
      level = (level * count + other * number) / (count + number);
      count += number;
    }
    pools.push([level, count]);
  });
  return pools.flatMap(([level, count]) => Array(count).fill(level))
    .map((level, i) => level + gaps[i]);
}

function operation(layer, types) {
  const window_ = layer.kernel ? ` ${layer.kernel}x${layer.kernel}` : "";
  return types[layer.type].title + window_;
}

function describeBlock(block, types) {
  const reads = (preds) => preds.map((p) => (p ? `layer ${p}` : "the input")).join(" and ");
  const lines = block.layers.map((layer) =>
    `layer ${layer.index}: ${operation(layer, types)} of ${reads(layer.preds)}`);
  return `Block of ${block.layers.length} layers. ${lines.join("; ")}; ` +
    `output: ${reads(block.sinks)}.`;
}

// An SVG element; input on top, output at the bottom as in the paper's drawings.
function drawBlock(text, types) {
  const block = parseBlock(text), {centres, edges} = layoutBlock(block);
  const boxes = centres.map((c) => c[0]), lanes = edges.flat().map((point) => point[0]);
  const left = Math.min(Math.min(...boxes) - BOX[0] / 2, ...lanes) - 0.1;
  const width = Math.max(Math.max(...boxes) + BOX[0] / 2, ...lanes) + 0.1 - left;
  const height = Math.max(...centres.map((c) => c[1])) + 0.8;
  const at = ([x, y]) => [(x - left) * COLUMN, (y + 0.4) * ROW];
  const root = svg("svg", {viewBox: `0 0 ${width * COLUMN} ${height * ROW}`,
    width: width * COLUMN, height: height * ROW, role: "img", class: "block"});
  root.setAttribute("aria-label", describeBlock(block, types));
  root.dataset.block = text;
  root.style.minWidth = `${0.65 * width * COLUMN}px`;  // smaller could not be read
  const half = BOX[1] / 2;
  for (const edge of edges) {
    const line = edge.map(at), [x, y] = line[line.length - 1];
    root.append(svg("path", {d: curve(line), class: "edge"}),
      svg("polygon", {class: "head", points: [[x, y], [x - 4, y - 9], [x + 4, y - 9]].join(" ")}));
  }
  const labels = [["Input"], ...block.layers.map((layer) =>
    `${layer.index}: ${operation(layer, types)}`.replace(" pool", "\npool").split("\n")),
  block.sinks.length > 1 ? ["Output", "(concat)"] : ["Output"]];
  centres.forEach((centre, node) => {
    const [x, y] = at(centre), layer = block.layers[node - 1];
    root.append(svg("rect", {x: x - BOX[0] / 2 * COLUMN, y: y - half * ROW, rx: 7,
      width: BOX[0] * COLUMN, height: BOX[1] * ROW, class: "box",
      fill: layer ? types[layer.type].colour : "#FFFFFF"}));
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
