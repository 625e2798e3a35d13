// Filter and leaf through the images; table.js sorts them. All data is read from the table; text stays text.
const table = element("cases");
const viewer = element("viewer");

const rows = () => Array.from(table.tBodies[0].rows);
const visibleRows = () => rows().filter((row) => !row.hidden);

function filter() {
  const text = element("filter-text").value.trim().toLowerCase();
  const bound = (id, open) => {
    const value = element(id).value;
    return value === "" ? open : Number(value);
  };
  const low = bound("filter-low", 0);
  const high = bound("filter-high", 1);
  for (const row of rows()) {
    const group = row.querySelector(".group");
    const name = `${row.dataset.id} ${group ? group.textContent : ""}`.toLowerCase();
    const dice = row.dataset.dice;
    const inRange = dice === "" ? low <= 0 && high >= 1 : low <= dice && dice <= high;
    row.hidden = !(name.includes(text) && inRange);
  }
  element("shown").textContent = `${visibleRows().length} of ${rows().length} image${rows().length === 1 ? "" : "s"}`;
}

let current = null;
let opener = null; // what to give the focus back to
const leafed = () => (current.hidden ? rows() : visibleRows()); // a picked one may be filtered out

function show(row) {
  current = row;
  const order = leafed();
  const picture = row.querySelector(".view");
  const stage = element("stage");
  stage.hidden = !picture;
  element("missing").hidden = Boolean(picture);
  if (picture) {
    const source = picture.querySelector("img");
    for (const name of ["--t", "--p"]) {
      stage.style.setProperty(name, picture.style.getPropertyValue(name));
    }
    element("picture").src = source.src;
    element("picture").alt = `Image ${row.dataset.id}`;
    stage.style.aspectRatio = `${source.getAttribute("width")} / ${source.getAttribute("height")}`;
    stage.style.setProperty("--ratio", source.getAttribute("width") / source.getAttribute("height"));
  }
  const values = Array.from(row.cells).slice(-3).map((cell) => cell.textContent);
  element("viewer-title").textContent = row.dataset.id;
  element("viewer-scores").textContent =
    `Dice ${values[0]}   IoU ${values[1]}   lesion ${values[2]} % of the image`;
  element("position").textContent = `${order.indexOf(row) + 1} of ${order.length}`;
  if (!viewer.open) viewer.showModal();
}

function step(by) {
  const order = leafed();
  if (order.length) show(order[(order.indexOf(current) + by + order.length) % order.length]);
}

function changeView() {
  const view = viewer.querySelector("input[name=view]:checked").value;
  element("stage").dataset.view = view;
  for (const legend of viewer.querySelectorAll("[data-for]")) {
    legend.hidden = !legend.dataset.for.split(" ").includes(view);
  }
  element("opacity").disabled = view === "image";
}

function changeOpacity() {
  const percent = element("opacity").value;
  element("stage").style.setProperty("--opacity", percent / 100);
  element("opacity-value").textContent = `${percent} %`;
}

// Arrow keys leaf through the images, but still move a slider or radio button that has the focus.
function onKey(event) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by || event.target.matches("input")) return;
  event.preventDefault();
  step(by);
}

function start() {
  makeSortable(table);
  for (const id of ["filter-text", "filter-low", "filter-high"]) {
    element(id).addEventListener("input", filter);
  }
  table.tBodies[0].addEventListener("click", (event) => show(event.target.closest("tr")));
  for (const button of document.querySelectorAll(".look")) {
    button.addEventListener("click", () => {
      opener = button;
      show(rows().find((row) => row.dataset.id === button.dataset.id));
    });
  }
  element("previous").addEventListener("click", () => step(-1));
  element("next").addEventListener("click", () => step(1));
  element("close").addEventListener("click", () => viewer.close());
  element("views").addEventListener("change", changeView);
  element("opacity").addEventListener("input", changeOpacity);
  viewer.addEventListener("keydown", onKey);
  viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
  viewer.addEventListener("close", () => {
    (opener || current.querySelector(".open")).focus();
    opener = null;
  });
  changeView();
  changeOpacity();
}

if (table) start();
