// The page: unpacks plotly.js and the data, and fills the sections.

async function unpack(id) {
  const packed = atob(document.getElementById(id).textContent.trim());
  const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

// State of the table and the chosen search: it outlives the reload of a watched page.
function keptState(watched) {
  let kept = {};
  try {
    kept = JSON.parse(sessionStorage.getItem(location.pathname)) || {};
    sessionStorage.removeItem(location.pathname);
  } catch { /* a browser may forbid it */ }
  if (!watched) return kept;
  addEventListener("pagehide", () => {
    try {
      sessionStorage.setItem(location.pathname, JSON.stringify(kept));
    } catch { /* a browser may forbid it */ }
  });
  return kept;
}

function section(title, id) {
  const made = element("section", {id}, element("h2", {textContent: title}));
  document.getElementById("sections").append(made);
  return made;
}

function factList(pairs) {
  return element("dl", {}, ...pairs.map(([name, value]) => element("div", {},
    element("dt", {textContent: name}), element("dd", {textContent: value}))));
}

const numbersOf = (row) => [["accuracy", percent(row.accuracy)],
  ["reward", fixed(row.reward)], ["FLOPs", si(row.flops)],
  ["parameters", si(row.params)], ["blocks per stage", row.repeats],
  ["density", fixed(row.density, 3)],
  ["layers", row.layers], ["found in", `batch ${row.iteration}, slot ${row.slot}`]];

function headline(search) {
  const made = section("The best block", "best");
  if (!search.best.length) {
    made.append(element("p", {textContent: search.rows.block.length ?
      "No evaluation gave an accuracy yet: see below what went wrong." :
      "Nothing is evaluated yet."}));
    return;
  }
  const row = rowAt(search.rows, search.best[0]);
  const side = element("div", {}, factList(numbersOf(row)),
    element("p", {}, element("code", {className: "nsc", textContent: row.block})),
    element("p", {textContent: search.front ? "Train the front in full:" :
      "Train the best in full, choose one, and test it:"}),
    command(search.commands.train));
  made.append(element("div", {className: "headline"},
    element("div", {className: "drawing"}, drawBlock(row.block)), side));
}

// The panel of a clicked block; `what` is the index of a row or a block's text.
function showBlock(search, what) {
  const rows = search.rows, text = typeof what === "string" ? what : rows.block[what];
  const index = typeof what === "string" ? rows.block.indexOf(what) : what;
  const panel = document.getElementById("panel");
  const close = element("button", {type: "button", textContent: "Close"});
  close.addEventListener("click", () => { panel.hidden = true; });
  const row = index < 0 ? null : rowAt(rows, index);
  panel.replaceChildren(
    element("div", {className: "tools"}, element("h2", {textContent: row ?
      `Batch ${row.iteration}, slot ${row.slot}: ${row.status}` :
      "A block that was not evaluated" }), close),
    element("div", {className: "drawing"}, drawBlock(text)),
    ...(row ? [factList(numbersOf(row))] : []),
    ...(row && row.error ? [element("p", {className: "warning",
      textContent: row.error})] : []),
    element("p", {}, element("code", {className: "nsc", textContent: text})));
  panel.hidden = false;
  close.focus({preventScroll: true});
}

function failuresTable(parent, search) {
  if (!search.failures.length) {
    parent.append(element("p", {textContent: "No evaluation failed."}));
    return;
  }
  const lines = search.failures.map((failure) => [failure.status, failure.candidates,
    failure.repeated, element("ul", {}, ...failure.messages.map(([text, count]) =>
      element("li", {textContent: `${count} × ${text}`})))]);
  parent.append(plainTable("Failures by status", ["status", "candidates",
    "tried again", "messages"], lines));
}

function facts(search) {
  const made = section("Configuration, versions, replay", "facts");
  made.append(element("p", {textContent: "The digest of the agent's state after " +
    `the last of ${plural(search.told, "batch", "batches")} told:`}),
  element("p", {}, element("code", {className: "nsc", textContent:
    search.digest || "none" })),
  ...search.notes.map((textContent) => element("p", {textContent})),
  element("p", {textContent: "Replay the search and check every step of it:"}),
  command(search.commands.replay));
  const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  const table = (title, values) => plainTable(title, ["name", "value"],
    Object.entries(values).map(([name, value]) => [name, text(value)]));
  made.append(element("details", {}, element("summary",
    {textContent: "The whole configuration, versions, images"}),
  element("div", {className: "grid"}, table("Configuration", search.config),
    element("div", {}, table("Versions", search.versions),
      table("Images", {...search.images, fingerprint: search.fingerprint})))));
}

// All sections of one search.
async function showSearch(search, state) {
  const pick = (what) => showBlock(search, what);
  document.getElementById("sections").replaceChildren();
  headline(search);
  const progress = section("How the search went", "progress");
  await curves(progress, search);
  const costs = section("Accuracy and cost", "costs");
  const grid = element("div", {className: "grid"});
  costs.append(grid);
  for (const [cost, title] of Object.entries(search.costs)) {
    await scatter(grid, search, cost, title, pick);
  }
  if (search.front) {
    frontTable(costs, search, pick);
    await hypervolumeChart(costs, search);
  }
  await agentSection(section("The agent", "agent"), search, pick);
  const time = section("What the time went to", "time");
  await phaseChart(time, search);
  await timeline(time, search);
  failuresTable(time, search);
  new EvaluationTable(section("Every evaluation", "all"), search.rows, pick, state);
  facts(search);
}

function status(search) {
  if (!search.began) return `${search.name}: the search has not begun.`;
  return `${search.name}: agent ${search.agent}, seed ${search.seed}; ` +
    `${search.told} of ${plural(search.iterations, "iteration")} told, ` +
    `${search.rows.block.length} of ${plural(search.total, "evaluation")} done` +
    (search.complete ? ": complete." : ".");
}

function refresh(seconds) {
  const box = element("input", {type: "checkbox", checked: true, id: "refresh"});
  document.getElementById("status").append(element("p", {}, box, " ",
    element("label", {htmlFor: "refresh",
      textContent: `load this page again every ${seconds} s`})));
  setInterval(() => {
    const busy = !document.getElementById("panel").hidden ||
      document.activeElement.matches("input[type=search]") || document.hidden;
    if (box.checked && !busy) location.reload();
  }, 1000 * seconds);
}

async function main() {
  const note = document.getElementById("status");
  const [script, json] = await Promise.all([unpack("plotly"), unpack("data")]);
  document.head.append(element("script", {textContent: script}));
  const data = JSON.parse(json), state = keptState(data.refresh);
  const begun = data.searches.filter((search) => search.began);
  const {types, wirings, lines, grid} = data;
  Object.assign(page, {types, wirings, lines, grid});
  for (const {rows, q_history: q, columns} of begun) {
    const shown = [...rows.block, ...(q ? q.greedy : [])];
    shown.forEach((block, i) => page.columns.set(block, columns[i]));
  }
  note.replaceChildren(...data.searches.map((s) => element("p", {textContent: status(s)})),
    element("p", {textContent: `Written ${new Date(1000 * data.written).toLocaleString()}.`}));
  if (data.refresh) refresh(data.refresh);
  if (begun.length > 1) await overlay(begun, state);
  if (begun.length) await showSearch(begun[state.search || 0] || begun[0], state);
  document.body.dataset.ready = "yes";
}

addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.getElementById("panel").hidden = true;
});
main().catch((error) => {
  document.getElementById("status").textContent = typeof DecompressionStream ===
    "undefined" ? "This page needs a browser of 2023 or later." : `Error: ${error.message}`;
  throw error;
});
