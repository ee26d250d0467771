"use strict";

// Sorting: a click on a heading sorts by it, another one the other way round. Rows without a figure
// stay last.

function compareCells(a, b) {
  if (a.dataset.number !== undefined && b.dataset.number !== undefined) {
    return Number(a.dataset.number) - Number(b.dataset.number);
  }
  return a.textContent.localeCompare(b.textContent, undefined, { numeric: true });
}

function sortBy(table, column, descending) {
  const body = table.tBodies[0];
  const isEmpty = (row) => !row.cells[column] || row.cells[column].textContent === "-";
  const rows = [...body.rows].sort((a, b) => {
    if (a.className === "failed" || b.className === "failed" || isEmpty(a) || isEmpty(b)) {
      const last = (row) => (row.className === "failed" ? 2 : Number(isEmpty(row)));
      return last(a) - last(b);
    }
    const order = compareCells(a.cells[column], b.cells[column]);
    return descending ? -order : order;
  });
  body.append(...rows);
}

function makeSortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.addEventListener("click", () => {
      const descending = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sortBy(table, column, descending);
    });
  });
}

// Drawing: every canvas names one of the charts that the page carries as JSON. Colours are the
// page's own, read again whenever it turns dark, light or to paper.

const kMostLines = 8; // shown at first; the legend brings in the others
const kBarHeight = 24;

function variable(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function seriesColour(index) {
  const colours = variable("--series").split(",");
  return colours[index % colours.length].trim();
}

const colourOf = (context) => seriesColour(context.dataset.colour);

const textColour = () => variable("--text");
const lineColour = () => variable("--line");

function axis(title, { ticks, ...more } = {}) {
  return {
    title: { display: title !== "", text: title, color: textColour },
    ticks: { color: textColour, ...ticks },
    grid: { color: lineColour, borderColor: lineColour },
    ...more,
  };
}

function digits(value) {
  return Number(value.toPrecision(4)).toString();
}

// The names of points beside them, those on a front first, as far as there is room; a finger or a
// mouse on a point tells every name.

function nameBox(ctx, area, name, point) {
  const width = ctx.measureText(name).width;
  const left = point.x + 9 + width > area.right ? point.x - 9 - width : point.x + 9;
  return { name, left, right: left + width, top: point.y - 16, bottom: point.y - 4 };
}

const meet = (a, b) =>
  a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

function namedPoints(chart) {
  const all = chart.data.datasets.flatMap((dataset, index) =>
    chart.isDatasetVisible(index)
      ? chart.getDatasetMeta(index).data.map((at, place) => ({ at, raw: dataset.data[place] }))
      : [],
  );
  return [...all.filter(({ raw }) => raw.front), ...all.filter(({ raw }) => !raw.front)];
}

const pointNames = {
  id: "pointNames",
  afterDatasetsDraw(chart) {
    const { ctx, chartArea } = chart;
    const written = [];
    ctx.save();
    ctx.font = "11px system-ui, sans-serif";
    namedPoints(chart).forEach(({ at, raw }) => {
      const box = nameBox(ctx, chartArea, raw.name, at);
      if (!written.some((other) => meet(box, other))) {
        ctx.fillStyle = variable(raw.front ? "--text" : "--muted");
        ctx.fillText(box.name, box.left, box.bottom - 2);
        written.push(box);
      }
    });
    ctx.restore();
  },
};

function scatter(chart) {
  const datasets = [];
  chart.series.forEach((series, index) => {
    const front = series.points.filter((point) => point.front).sort((a, b) => a.x - b.x);
    datasets.push({
      label: series.name || "policies",
      data: series.points,
      colour: index,
      backgroundColor: colourOf,
      borderColor: colourOf,
      pointRadius: 4,
      pointHoverRadius: 6,
    });
    datasets.push({
      label: `${series.name} Pareto front`.trim(),
      data: front,
      colour: index,
      showLine: true,
      stepped: "before",
      borderColor: colourOf,
      backgroundColor: "transparent",
      borderWidth: 1.5,
      borderDash: [4, 3],
      pointRadius: 7,
    });
  });
  return {
    type: "scatter",
    data: { datasets },
    plugins: [pointNames],
    options: {
      scales: { x: axis(chart.x, { grace: "5%" }), y: axis(chart.y, { grace: "8%" }) },
      plugins: {
        tooltip: {
          callbacks: {
            label: ({ raw }) => `${raw.name}: ${digits(raw.x)}, ${digits(raw.y)}`,
          },
        },
      },
    },
  };
}

function bars(chart) {
  return {
    type: "bar",
    data: {
      labels: chart.series[0].points.map((point) => point.name),
      datasets: chart.series.map((series, index) => ({
        label: series.name,
        data: series.points.map((point) => point.x),
        colour: index,
        backgroundColor: colourOf,
      })),
    },
    options: {
      indexAxis: "y",
      scales: {
        x: axis(chart.x, { stacked: true }),
        y: axis("", { stacked: true, ticks: { autoSkip: false } }),
      },
    },
  };
}

function lines(chart) {
  return {
    type: "line",
    data: {
      datasets: chart.series.map((series, index) => ({
        label: series.name,
        data: series.points,
        colour: index,
        hidden: index >= kMostLines,
        borderColor: colourOf,
        backgroundColor: colourOf,
        borderWidth: 1.5,
        pointRadius: series.points.length > 25 ? 0 : 2,
      })),
    },
    options: {
      interaction: { mode: "nearest", intersect: false },
      scales: {
        x: axis(chart.x, { type: "linear" }),
        y: axis(chart.y, { type: chart.log ? "logarithmic" : "linear" }),
      },
    },
  };
}

const kinds = { scatter, bars, lines };

function takeColours() {
  Chart.defaults.color = variable("--text");
  Chart.defaults.borderColor = variable("--line");
}

function draw(canvas, chart) {
  if (chart.kind === "bars") {
    canvas.parentElement.style.height = `${chart.series[0].points.length * kBarHeight + 120}px`;
  }
  return new Chart(canvas, kinds[chart.kind](chart));
}

function drawAll() {
  Object.assign(Chart.defaults, { animation: false, maintainAspectRatio: false });
  Chart.defaults.plugins.legend.labels.boxWidth = 12;
  takeColours();
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const drawn = [...document.querySelectorAll("canvas[data-chart]")].map((canvas) =>
    draw(canvas, charts[Number(canvas.dataset.chart)]),
  );
  const redraw = () => {
    takeColours();
    drawn.forEach((chart) => {
      chart.resize();
      chart.update("none");
    });
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printing");
    redraw();
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    redraw();
  });
}

document.querySelectorAll("table.figures").forEach(makeSortable);
drawAll();
