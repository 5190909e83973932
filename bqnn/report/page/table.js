// Table of all evaluations: sorts, searches, turns pages of a hundred rows, writes CSV.

const PER_PAGE = 100;
const COLUMNS = [["iteration", "batch"], ["slot", "slot"], ["status", "status"],
  ["accuracy", "accuracy", percent], ["epochs", "epochs"],
  ["trainings", "trainings"], ["reward", "reward", fixed],
  ["layers", "layers"], ["flops", "FLOPs", si], ["params", "params", si],
  ["repeats", "N"],
  ["density", "density", (value) => fixed(value, 3)],
  ["latency", "latency, ms", (value) => (value == null ? "" : (value / 1e6).toPrecision(3))],
  ["seconds", "seconds", (value) => fixed(value, 2)], ["attempts", "attempts"],
  ["worker", "worker"], ["block", "block"], ["source", "source"], ["error", "error"]];
const TEXT = new Set(["status", "worker", "block", "source", "error", "hash"]);

function compare(values, descending) {
  return (a, b) => {
    const [u, v] = [values[a], values[b]];
    // Missing values stay last in both directions.
    if (u == null || v == null) return (u == null) - (v == null) || a - b;
    const order = typeof u === "string" ? u.localeCompare(v) : u - v;
    return (descending ? -order : order) || a - b;
  };
}

function toCsv(columns, indices) {
  // A spreadsheet would run a text that begins like a formula.
  const inert = (value) => (typeof value === "string" && /^[=+\-@\t\r]/.test(value) ?
    `'${value}` : String(value));
  const quote = (value) => (value == null ? "" : /[",\r\n;]/.test(inert(value)) ?
    `"${inert(value).replaceAll('"', '""')}"` : inert(value));
  const names = Object.keys(columns);
  const lines = indices.map((i) => names.map((name) => quote(columns[name][i])).join(","));
  return [names.join(","), ...lines].join("\r\n") + "\r\n";
}

class EvaluationTable {
  constructor(parent, rows, pick, state) {
    this.rows = rows;
    this.pick = pick;
    this.state = Object.assign(state, {sort: state.sort || "reward",
      descending: state.descending ?? true, query: state.query || "", page: 0});
    this.search = rows.block.map((_, i) => [...TEXT].map((n) => rows[n][i])
      .concat(`${rows.iteration[i]}/${rows.slot[i]}`).join(" ").toLowerCase());
    this.build(parent);
    this.update();
  }

  build(parent) {
    const query = element("input", {type: "search", id: "query",
      value: this.state.query, placeholder: "status, worker, block, 3/5 …"});
    query.addEventListener("input", () => {
      Object.assign(this.state, {query: query.value, page: 0});
      this.update();
    });
    this.count = element("span", {id: "count", role: "status"});
    const csv = element("button", {type: "button", id: "csv", textContent: "CSV"});
    csv.addEventListener("click", () => this.download());
    this.headers = COLUMNS.map(([name, title]) => {
      const button = element("button", {type: "button", textContent: title});
      button.addEventListener("click", () => this.sortBy(name));
      return element("th", {scope: "col"}, button);
    });
    this.body = element("tbody");
    this.pager = element("div", {className: "pager"});
    parent.append(
      element("div", {className: "tools"}, element("label", {htmlFor: "query",
        textContent: "Search"}), query, csv, this.count),
      element("div", {className: "scroll", tabIndex: 0, role: "region",
        ariaLabel: "Evaluations"}, element("table", {id: "evaluations"},
        element("thead", {}, element("tr", {}, ...this.headers)), this.body)),
      this.pager);
  }

  sortBy(name) {
    const same = this.state.sort === name;
    this.state.descending = same ? !this.state.descending : !TEXT.has(name);
    Object.assign(this.state, {sort: name, page: 0});
    this.update();
  }

  update() {
    const {sort, descending, query} = this.state;
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    this.found = this.search.map((_, i) => i)
      .filter((i) => words.every((word) => this.search[i].includes(word)))
      .sort(compare(this.rows[sort], descending));
    COLUMNS.forEach(([name], i) => this.headers[i].setAttribute("aria-sort",
      name !== sort ? "none" : descending ? "descending" : "ascending"));
    this.count.textContent = `${this.found.length} of ${this.search.length} evaluations`;
    const first = this.state.page * PER_PAGE;
    this.body.replaceChildren(...this.found.slice(first, first + PER_PAGE)
      .map((i) => this.line(i)));
    this.turnPages();
  }

  line(index) {
    const cells = COLUMNS.map(([name, , write]) => {
      const value = this.rows[name][index];
      if (name !== "block") {
        return element("td", {className: TEXT.has(name) ? "" : "number"},
          write ? write(value) : String(value ?? ""));
      }
      const button = element("button", {type: "button", className: "nsc",
        title: "Draw this block", textContent: value});
      button.addEventListener("click", () => this.pick(index));
      return element("td", {}, button);
    });
    return element("tr", {}, ...cells);
  }

  turnPages() {
    const {page} = this.state, pages = Math.ceil(this.found.length / PER_PAGE);
    const turn = (to, text) => {
      const button = element("button", {type: "button", textContent: text,
        disabled: to < 0 || to >= pages});
      button.addEventListener("click", () => { this.state.page = to; this.update(); });
      return button;
    };
    this.pager.replaceChildren(...(pages > 1 ? [turn(page - 1, "Earlier"),
      ` rows ${page * PER_PAGE + 1} to ` +
      `${Math.min((page + 1) * PER_PAGE, this.found.length)} `,
      turn(page + 1, "Later")] : []));
  }

  download() {
    const blob = new Blob([toCsv(this.rows, this.found)], {type: "text/csv"});
    const link = element("a", {href: URL.createObjectURL(blob),
      download: "evaluations.csv"});
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
}
