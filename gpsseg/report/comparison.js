// Sort the images, and show those whose name holds a text.
function filterImages(table) {
  const text = element("filter-text").value.trim().toLowerCase();
  const rows = Array.from(table.tBodies[0].rows);
  for (const row of rows) row.hidden = !row.dataset.id.toLowerCase().includes(text);
  const shown = rows.filter((row) => !row.hidden).length;
  element("shown").textContent = `${shown} of ${rows.length} image${rows.length === 1 ? "" : "s"}`;
}

const images = element("cases");
if (images) {
  makeSortable(images);
  element("filter-text").addEventListener("input", () => filterImages(images));
}
