"use strict";
// Draws the charts when they come into sight, and makes tables sortable and filterable. No network.
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const DARK = {"#0072b2": "#56a8e0", "#b87300": "#e69f00", "#00875f": "#2bc496", "#b0508a": "#e59bc6", "#c8500a": "#ff8a4c",
    "#767f8c": "#9aa6b2", "#8a6d00": "#e5d44b", "#2b8cbe": "#8ccff5", "#eaf3fb": "#1f2a36", "#08427a": "#d6ecff"};
  const drawn = new Map();
  const GLYPH = 0.56;  // how wide a letter is on average, of its height

  function read(figure) {
    let text = figure.querySelector("script").textContent;
    const printing = document.documentElement.classList.contains("printing");
    const theme = document.body.dataset.jpThemeLight;  // a notebook's page says which it has
    const night = (theme ? theme === "false" : dark.matches) && !printing;
    if (night) text = text.replace(/#[0-9a-f]{6}/g, (colour) => DARK[colour] || colour);
    const chart = JSON.parse(text);
    chart.layout.font = {...chart.layout.font, color: night ? "#dde3ea" : "#20262e"};
    chart.layout.hoverlabel = {bgcolor: night ? "#2a323c" : "#ffffff", font: {color: night ? "#dde3ea" : "#20262e"}};
    if (figure.clientWidth && figure.clientWidth < 420) {
      chart.layout.margin = {...chart.layout.margin, l: Math.min((chart.layout.margin || {}).l || 0, 44), r: 6};
    }
    // The name above a row is set smaller where the page is narrow, and broken where that is not enough.
    const room = figure.clientWidth - ((chart.layout.margin || {}).l || 0) - 12;
    for (const name of chart.layout.annotations || []) {
      if (!figure.clientWidth || name.xref !== "paper" || name.showarrow) continue;
      const fits = (px) => Math.floor(room / (px * GLYPH));
      if (name.text.length <= fits(12)) continue;
      name.font = {...name.font, size: name.text.length <= fits(10) ? 10 : 9};
      if (name.text.length > fits(9)) name.text = broken(name.text, fits(9));
    }
    return chart;
  }

  function broken(text, most) {
    const lines = [];
    for (let rest = text; rest; rest = rest.slice(lines.at(-1).length)) {
      const piece = rest.slice(0, most), end = Math.max(piece.lastIndexOf("/"), piece.lastIndexOf(" ") + 1);
      lines.push(rest.length <= most ? rest : end > most / 2 ? piece.slice(0, end) : piece);
    }
    return lines.join("<br>");
  }

  function draw(figure) {
    if (!window.Plotly) return;
    const place = figure.querySelector(".adx-plot"), chart = read(figure);
    Plotly.react(place, chart.data, chart.layout, {displaylogo: false, displayModeBar: false, responsive: true});
    if (!drawn.has(figure)) tools(figure, place, chart);
    drawn.set(figure, chart);
  }

  function button(text, action) {
    const made = document.createElement("button");
    made.type = "button"; made.textContent = text; made.onclick = action;
    return made;
  }

  function tools(figure, place, chart) {
    const bar = document.createElement("div");
    bar.className = "tools";
    const names = [...new Set(chart.data.map((trace) => trace.meta && trace.meta.endpoint).filter(Boolean))];
    if (names.length > 1) {
      const select = document.createElement("select");
      select.setAttribute("aria-label", "Show one of them");
      select.append(...["all", ...names].map((name) => new Option(name, name)));
      select.onchange = () => Plotly.restyle(place, "visible",
        chart.data.map((trace) => select.value === "all" || !trace.meta || trace.meta.endpoint === select.value));
      bar.append(select);
    }
    bar.append(button("Reset", () => { draw(figure); Plotly.relayout(place, {"xaxis.autorange": !chart.layout.xaxis || !chart.layout.xaxis.range}); }),
      button("PNG", () => Plotly.downloadImage(place, {format: "png", width: 1200, height: 700, filename: "adx-lab"})));
    figure.append(bar);
  }

  const idle = window.requestIdleCallback || ((action) => setTimeout(action, 50));
  const figures = () => [...document.querySelectorAll("figure.adx-figure")];
  const redraw = () => drawn.forEach((_, figure) => draw(figure));
  function watch() {
    const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
      if (!entry.isIntersecting) return;
      seen.unobserve(entry.target);
      draw(entry.target);
    }), {rootMargin: "300px"});
    figures().forEach((figure) => seen.observe(figure));
    // What is further down is drawn while nobody waits, so that a print or a search has it, too.
    const rest = figures().filter((figure) => figure.clientWidth);
    const next = () => {
      const figure = rest.shift();
      if (!figure) { document.documentElement.dataset.drawn = "yes"; return; }
      if (!drawn.has(figure)) { seen.unobserve(figure); draw(figure); }
      idle(next);
    };
    idle(next);
  }
  dark.addEventListener("change", redraw);
  window.addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printing");
    document.querySelectorAll("details.section").forEach((one) => { one.open = true; });
    figures().forEach(draw);
  });
  window.addEventListener("afterprint", () => { document.documentElement.classList.remove("printing"); redraw(); });

  function value(row, place) {
    const cell = row.cells[place], raw = cell.dataset.v ?? cell.textContent.replaceAll(",", "");
    const number = parseFloat(raw);
    return cell.classList.contains("n") ? (Number.isNaN(number) ? -Infinity : number) : cell.textContent;
  }
  function sortable(table) {
    [...table.tHead.rows[0].cells].forEach((head, place) => {
      const handle = button(head.textContent, () => {
        const up = head.getAttribute("aria-sort") === "descending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => { const x = value(a, place), y = value(b, place);
          return (x < y ? -1 : x > y ? 1 : 0) * (up ? 1 : -1); });
        table.tBodies[0].append(...rows);
      });
      handle.className = "sort"; handle.title = head.title;
      head.replaceChildren(handle);
    });
  }
  function filterable(table) {
    const box = document.createElement("input");
    box.type = "search"; box.placeholder = "Filter the rows"; box.setAttribute("aria-label", "Filter the rows");
    box.oninput = () => { const wanted = box.value.toLowerCase();
      for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(wanted); };
    table.parentElement.before(box);
  }
  function open() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
    if (target) { if (target.tagName === "DETAILS") target.open = true; target.scrollIntoView(); }
  }
  function start() {
    document.querySelectorAll(".scroll table").forEach((table) => {
      sortable(table);
      if ("filter" in table.dataset) filterable(table);
    });
    window.addEventListener("hashchange", open);
    open();
    if (window.Plotly) watch();
    else window.addEventListener("adx-plotly", watch);
  }
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start();
})();
