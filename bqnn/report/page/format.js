// Helpers: elements, numbers and durations as text, rows of columnar tables.

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function si(value) {
  let scaled = value;
  for (const prefix of ["", " k", " M", " G", " T"]) {
    if (scaled < 999.5) return `${Number(scaled.toPrecision(3))}${prefix}`;
    scaled /= 1000;
  }
  return value.toPrecision(3);
}

// Not Math.min(...values): the number of arguments is limited.
const least = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
const most = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);

const percent = (value) => (value == null ? "–" : `${(100 * value).toFixed(2)} %`);
const fixed = (value, digits = 4) => (value == null ? "–" : value.toFixed(digits));

function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${(seconds / 60).toFixed(1)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

// Escape a text for plotly, which reads tags in names and labels.
const plain = (text) => text.replace(/[&<>]/g, (letter) => `&#${letter.charCodeAt(0)};`);

// Indices of the rows that have an accuracy.
const measured = (rows) => rows.accuracy.map((_, i) => i)
  .filter((i) => rows.accuracy[i] != null);

// Row `index` of a columnar table, as an object.
function rowAt(columns, index) {
  return Object.fromEntries(Object.entries(columns).map(([k, v]) => [k, v[index]]));
}

function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

// A command with a button that copies it.
function command(text) {
  const button = element("button", {type: "button", textContent: "Copy"});
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "Selected";
    }
  });
  return element("div", {className: "command"},
    element("code", {textContent: text, tabIndex: 0}), button);
}

function plainTable(caption, head, body) {
  const cells = (row, name) => row.map((cell) => element(name, {}, cell ?? ""));
  return element("div", {className: "scroll"}, element("table", {},
    element("caption", {textContent: caption}),
    element("thead", {}, element("tr", {}, ...cells(head, "th"))),
    element("tbody", {}, ...body.map((row) => element("tr", {}, ...cells(row, "td"))))));
}
