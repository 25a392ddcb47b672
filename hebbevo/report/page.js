"use strict";
// Draws the charts, shows the network that a person chooses, and copies commands.

const CONFIG = {
  responsive: true,
  displaylogo: false,
  modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
};
const PRINTED_WIDTH = 680; // pixels of a sheet of paper between its margins
const PRINTED_HEIGHT = 380; // at most, so that two charts fit on a sheet with what is said of them
const PRINTED_FRONT = 460; // of the front, which has a legend and an axis more
const { measures, genes, networks } = JSON.parse(document.getElementById("networks").textContent);
const charts = [...document.querySelectorAll(".chart")];
const dialog = document.getElementById("network");

function draw(chart) {
  if (chart.dataset.drawn) return;
  chart.dataset.drawn = "yes";
  const figure = JSON.parse(chart.querySelector("script").textContent);
  figure.data.forEach(addHoverTexts);
  const plot = document.createElement("div");
  plot.style.height = "100%";
  chart.append(plot);
  Plotly.newPlot(plot, figure.data, figure.layout, CONFIG);
  plot.on("plotly_click", (event) => show(event.points[0].customdata));
  plot.on("plotly_afterplot", () => makeFocusable(plot));
  makeFocusable(plot);
}

// Many charts show the same trials, so the page holds what is said of a trial once.
function addHoverTexts(trace) {
  if (trace.meta !== "member" && trace.meta !== "trial") return;
  trace.hovertext = trace.customdata.map((key) => {
    if (!networks[key]) return "";
    const [title, score, survivors, values] = networks[key];
    const lines = values.map((value, place) => `${genes[place]}: ${value}`);
    const texts = [`${measures[0]} ${score}`, `survivors ${survivors}`, "", ...lines];
    return [`<b>${title}</b>`, ...texts.map(escaped)].join("<br>");
  });
}

function escaped(text) { // plotly reads some HTML in labels
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

// The points of the front are buttons for the keyboard, in the order of the front.
function makeFocusable(plot) {
  for (const trace of plot.querySelectorAll(".scatterlayer .trace")) {
    const about = trace.__data__ && trace.__data__[0] && trace.__data__[0].trace;
    if (!about || !["member", "confirmed"].includes(about.meta)) continue;
    trace.querySelectorAll("path.point").forEach((point, place) => {
      const number = point.__data__ ? point.__data__.i : place;
      const key = about.customdata[number];
      if (!networks[key] || point.hasAttribute("tabindex")) return;
      point.setAttribute("tabindex", "0");
      point.setAttribute("role", "button");
      point.setAttribute("aria-label", label(networks[key]));
      point.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        show(key);
      });
    });
  }
}

function label([title, score, survivors]) {
  return `${title}, ${measures[0]} ${score}, ${measures[1]} ${survivors}`;
}

function show(key) {
  if (!networks[key]) return;
  const [title, score, survivors, values, json, python] = networks[key];
  document.getElementById("network-title").textContent = title;
  fill("network-measures", [[measures[0], score], [measures[1], survivors]]);
  fill("network-genome", genes.map((gene, place) => [gene, values[place]]));
  document.getElementById("network-json").textContent = json;
  document.getElementById("network-python").textContent = python;
  if (!dialog.open) dialog.showModal();
}

function fill(id, pairs) {
  const list = document.getElementById(id);
  list.replaceChildren();
  for (const [name, value] of pairs) {
    const term = document.createElement("dt");
    const text = document.createElement("dd");
    term.textContent = name;
    text.textContent = value;
    list.append(term, text);
  }
}

async function copy(button) {
  const text = button.parentElement.querySelector("code").textContent;
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    done = copyBySelection(text, button.parentElement); // some browsers refuse pages that are files
  }
  button.textContent = done ? "Copied" : "Press Ctrl+C";
  document.getElementById("status").textContent = done ? "Copied" : "The text is selected; press Ctrl+C";
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

function copyBySelection(text, place) {
  const area = document.createElement("textarea");
  area.value = text;
  place.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) getSelection().selectAllChildren(place.querySelector("code"));
  return done;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (event.target === dialog) dialog.close(); // beside the box
  if (!button) return;
  if (button.classList.contains("network")) show(button.dataset.network);
  if (button.classList.contains("copy")) copy(button);
});

// Charts are drawn when they come near the screen, so that a long page opens at once.
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) draw(entry.target);
}, { rootMargin: "600px" });
charts.forEach((chart) => watcher.observe(chart));

function resizeForPaper() {
  for (const chart of charts) {
    const plot = chart.querySelector(".js-plotly-plot");
    if (!plot || !chart.offsetParent) continue;
    const width = chart.parentElement.classList.contains("grid") ? PRINTED_WIDTH / 2 - 10 : PRINTED_WIDTH;
    chart.dataset.height = chart.style.height;
    const most = chart.id === "chart-front" ? PRINTED_FRONT : PRINTED_HEIGHT;
    const height = Math.min(parseFloat(chart.style.height), most);
    chart.style.height = `${height}px`;
    Plotly.relayout(plot, { width, height, autosize: false });
  }
}

function resizeForScreen() {
  for (const chart of charts) {
    const plot = chart.querySelector(".js-plotly-plot");
    if (!plot || !chart.dataset.height) continue;
    chart.style.height = chart.dataset.height;
    Plotly.relayout(plot, { width: null, height: parseFloat(chart.dataset.height), autosize: true });
  }
}

// Of several figures one is shown, the one that is chosen in the list above them.
for (const chooser of document.querySelectorAll(".chooser")) {
  const list = chooser.querySelector("select");
  if (!list) continue;
  list.addEventListener("change", () => {
    chooser.querySelectorAll("figure").forEach((figure, place) => {
      figure.hidden = place !== list.selectedIndex;
      const plot = figure.querySelector(".js-plotly-plot");
      if (plot && !figure.hidden) Plotly.Plots.resize(plot); // it may have been drawn while it was hidden
    });
  });
}

addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((each) => { each.open = true; });
  charts.filter((chart) => chart.offsetParent).forEach(draw); // not those that are hidden
  resizeForPaper();
});
addEventListener("afterprint", resizeForScreen);
