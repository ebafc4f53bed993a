"use strict";
(() => {
  const data = JSON.parse(document.getElementById("charts").textContent);
  const root = document.documentElement;
  const drawn = [];
  const color = (name) => {
    const probe = document.createElement("i");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    const value = getComputedStyle(probe).color;
    probe.remove();
    return value;
  };
  const number = (value) => (value == null ? "–" : Number(value.toPrecision(4)).toLocaleString("en"));
  const atTime = (chart, x) =>
    chart.time ? new Date(x * 1000).toISOString().slice(0, 16).replace("T", " ") : `${chart.xlabel} ${x}`;

  const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10000];
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const timeLabels = (plot, splits, axis, space, step) => splits.map((x) => {
    const at = new Date(x * 1000), day = `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}`;
    if (step >= 28 * 86400) return `${MONTHS[at.getUTCMonth()]} ${at.getUTCFullYear()}`;
    return x % 86400 ? at.toISOString().slice(11, 16) : day;
  });

  function sentence(chart, index) {
    const parts = chart.series.map((one) =>
      one.low ? `${one.label} ${number(one.low[index])} to ${number(one.high[index])}` : `${one.label} ${number(one.values[index])}`);
    return `${atTime(chart, chart.x[index])}: ${parts.join(", ")}`;
  }

  function plotData(chart) {
    const rows = [chart.x], series = [{}], bands = [];
    for (const one of chart.series) {
      if (one.low) {
        rows.push(one.high, one.low);
        bands.push({ series: [series.length, series.length + 1], fill: color("band") });
        series.push({ label: one.label, stroke: "transparent", points: { show: false } },
                    { label: one.label, stroke: "transparent", points: { show: false } });
      } else {
        rows.push(one.values);
        series.push({ label: one.label, stroke: color(one.color), width: one.color === "model" ? 2 : 1.5, dash: one.dash,
                      points: { show: chart.points ?? false, size: 5 }, spanGaps: one.gaps ?? false });
      }
    }
    return { rows, series, bands };
  }

  function draw(holder, width) {
    const chart = data[holder.dataset.chart];
    if (!chart) return;
    const { rows, series, bands } = plotData(chart);
    const readout = holder.parentElement.querySelector(".readout");
    const axis = { stroke: color("muted"), grid: { stroke: color("line"), width: 1 }, ticks: { stroke: color("line") }, font: "12px system-ui" };
    const say = (index) => {
      const text = index == null ? "" : sentence(chart, index);
      if (readout) readout.textContent = text;
      if (index != null) {
        holder.setAttribute("aria-valuenow", index);
        holder.setAttribute("aria-valuetext", text);
      }
    };
    holder.replaceChildren();
    const plot = new uPlot({
      width: width ?? Math.max(240, holder.clientWidth), height: chart.height ?? 220, series, bands, legend: { show: false },
      tzDate: (x) => uPlot.tzDate(new Date(x * 1000), "Etc/UTC"),
      scales: { x: { time: Boolean(chart.time) }, y: chart.from_zero ? { range: (u, low, high) => [0, high * 1.05 || 1] } : {} },
      axes: [{ ...axis, size: 32, ...(chart.time ? { values: timeLabels } : { label: chart.xlabel, labelSize: 16, labelFont: "12px system-ui", incrs: WHOLE }) },
             { ...axis, size: 56 }],
      cursor: { y: false, drag: { x: true, y: false } },
      hooks: {
        setCursor: [(u) => { if (u.cursor.idx != null || document.activeElement !== holder) say(u.cursor.idx); }],
        drawClear: [(u) => {
          if (!chart.marks) return;
          u.ctx.save();
          u.ctx.strokeStyle = color("line");
          u.ctx.lineWidth = 1;
          for (const index of chart.marks) {
            const at = u.valToPos(chart.x[index], "x", true);
            u.ctx.beginPath(); u.ctx.moveTo(at, u.bbox.top); u.ctx.lineTo(at, u.bbox.top + u.bbox.height); u.ctx.stroke();
          }
          u.ctx.restore();
        }],
      },
    }, rows, holder);
    holder.querySelectorAll("canvas").forEach((canvas) => canvas.setAttribute("aria-hidden", "true"));
    holder.onkeydown = (event) => {
      const last = chart.x.length - 1, now = Number(holder.getAttribute("aria-valuenow") ?? 0);
      const to = { ArrowRight: now + 1, ArrowUp: now + 1, ArrowLeft: now - 1, ArrowDown: now - 1, Home: 0, End: last,
                   PageUp: now + 10, PageDown: now - 10 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const index = Math.min(last, Math.max(0, to));
      plot.setCursor({ left: plot.valToPos(chart.x[index], "x"), top: 10 }, false);
      say(index);
    };
    holder.setAttribute("aria-valuemin", 0);
    holder.setAttribute("aria-valuemax", chart.x.length - 1);
    say(Number(holder.getAttribute("aria-valuenow") ?? 0));
    if (readout) readout.textContent = "";
    drawn.push({ holder, plot });
  }

  function drawAll(width) {
    for (const { plot } of drawn.splice(0)) plot.destroy();
    document.querySelectorAll(".chart").forEach((holder) => draw(holder, width));
  }

  function numbers(details) {
    const chart = data[details.dataset.numbers];
    if (details.querySelector("table") || !chart) return;
    const box = document.createElement("div"), table = document.createElement("table");
    box.className = "tall"; box.tabIndex = 0; box.setAttribute("role", "region"); box.setAttribute("aria-label", "Numbers of the chart");
    const columns = chart.series.flatMap((one) => one.low ? [[`${one.label}, from`, one.low], [`${one.label}, to`, one.high]] : [[one.label, one.values]]);
    const row = (parent, cells, tags) => {
      const line = parent.insertRow();
      cells.forEach((cell, i) => {
        const element = document.createElement(tags[i] ?? "td");
        if (element.tagName === "TH") element.scope = parent.tagName === "THEAD" ? "col" : "row";
        element.textContent = cell;
        line.append(element);
      });
    };
    row(table.createTHead(), [chart.time ? "time" : chart.xlabel, ...columns.map(([label]) => label)], Array(columns.length + 1).fill("th"));
    const body = table.createTBody();
    chart.x.forEach((x, i) => row(body, [chart.time ? atTime(chart, x) : x, ...columns.map(([, values]) => number(values[i]))], ["th"]));
    box.append(table);
    details.append(box);
  }

  function sortable(table) {
    const body = table.tBodies[0];
    table.querySelectorAll("thead button").forEach((button) => button.addEventListener("click", () => {
      const cell = button.closest("th"), column = cell.cellIndex, down = cell.getAttribute("aria-sort") === "ascending";
      const key = (line) => line.cells[column].dataset.value ?? line.cells[column].textContent;
      const rows = [...body.rows].sort((a, b) => {
        const [left, right] = [key(a), key(b)], numeric = left - right;
        return (Number.isNaN(numeric) ? left.localeCompare(right) : numeric) * (down ? -1 : 1);
      });
      table.querySelectorAll("th[aria-sort]").forEach((other) => other.setAttribute("aria-sort", "none"));
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      body.append(...rows);
    }));
  }

  document.querySelectorAll("table.sortable").forEach(sortable);
  document.querySelectorAll("details[data-numbers]").forEach((one) => one.addEventListener("toggle", () => numbers(one)));
  document.querySelectorAll("input[data-filter]").forEach((input) => input.addEventListener("input", () => {
    const words = input.value.toLowerCase(), rows = document.getElementById(input.dataset.filter).tBodies[0].rows;
    let shown = 0;
    for (const line of rows) { line.hidden = !line.textContent.toLowerCase().includes(words); shown += !line.hidden; }
    document.getElementById(input.getAttribute("aria-describedby")).textContent = `${shown} rows`;
  }));
  document.querySelectorAll("select[data-explorer]").forEach((select) => select.addEventListener("change", () => {
    const holder = document.getElementById(select.dataset.explorer);
    holder.dataset.chart = select.value;
    holder.setAttribute("aria-label", `Forecasts of ${select.selectedOptions[0].textContent}`);
    const details = holder.parentElement.querySelector("details[data-numbers]");
    details.open = false; details.querySelector(".tall")?.remove(); details.dataset.numbers = select.value;
    draw(holder);
  }));
  const theme = document.getElementById("theme");
  theme.addEventListener("click", () => {
    const next = { auto: "light", light: "dark", dark: "auto" }[root.dataset.theme ?? "auto"];
    if (next === "auto") delete root.dataset.theme; else root.dataset.theme = next;
    theme.textContent = `Theme: ${next}`;
    drawAll();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll());
  matchMedia("print").addEventListener("change", (event) => drawAll(event.matches ? 320 : undefined));
  let timer;
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(timer);
    timer = setTimeout(() => drawAll(), 150);
  });
  drawAll();
})();
