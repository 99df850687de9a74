// The segments and columns of an export's form: put in order by dragging or with the arrow keys, and each column shows
// only what belongs to what it holds.
"use strict";
(() => {
  const tables = [...document.querySelectorAll("table[id$=-data]")];
  const linesOf = (table) => [...table.querySelectorAll("tbody.form-group:not(.empty-form)")];

  const drawColumns = () => {
    for (const select of document.querySelectorAll("[data-what]")) {
      const row = select.closest("tr");
      for (const field of row.querySelectorAll("[data-of]")) {
        let belongs = field.dataset.of.split(" ").includes(select.value);
        if (field.name.endsWith("-count")) belongs &&= row.querySelector("[name$=-values]").value === "columns";
        field.closest("td").classList.toggle("m-gone", !belongs);
      }
    }
  };

  const number = () => {
    for (const table of tables) {
      linesOf(table).forEach((line, index) => {
        const position = line.querySelector("input[name$=-position]");
        if (position && position.value !== String(index)) {
          position.value = index;
          position.dispatchEvent(new Event("change", { bubbles: true }));
        }
      });
    }
  };

  let dragged = null;
  const handleFor = (line) => {
    const handle = document.createElement("button");
    handle.type = "button";
    handle.className = "m-handle";
    handle.draggable = true;
    handle.title = "Drag, or press the arrow keys, to change the order";
    handle.setAttribute("aria-label", handle.title);
    const icon = document.createElement("span");
    icon.className = "material-symbols-outlined";
    icon.textContent = "drag_indicator";
    handle.append(icon);
    handle.addEventListener("dragstart", (event) => {
      dragged = line;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", "");
      event.dataTransfer.setDragImage(line, 20, 20);
      line.classList.add("m-dragged");
    });
    handle.addEventListener("dragend", () => {
      line.classList.remove("m-dragged");
      dragged = null;
      number();
    });
    handle.addEventListener("keydown", (event) => {
      const lines = linesOf(line.closest("table"));
      const index = lines.indexOf(line);
      if (event.key === "ArrowUp" && index > 0) lines[index - 1].before(line);
      else if (event.key === "ArrowDown" && index < lines.length - 1) lines[index + 1].after(line);
      else return;
      event.preventDefault();
      handle.focus();
      number();
    });
    return handle;
  };

  const equip = () => {
    for (const table of tables) {
      for (const line of linesOf(table)) {
        if (line.querySelector(".m-handle")) continue;
        line.querySelector("tr.form-row td")?.firstElementChild?.prepend(handleFor(line));
      }
    }
    number();
    drawColumns();
  };

  for (const table of tables) {
    table.addEventListener("dragover", (event) => {
      const over = event.target.closest("tbody.form-group:not(.empty-form)");
      if (!dragged || dragged.closest("table") !== table) return;
      event.preventDefault();
      if (!over || over === dragged) return;
      const box = over.getBoundingClientRect();
      if (event.clientY < box.top + box.height / 2) over.before(dragged);
      else over.after(dragged);
    });
    table.addEventListener("drop", (event) => event.preventDefault());
    new MutationObserver(equip).observe(table, { childList: true });
  }
  document.addEventListener("change", drawColumns);
  equip();
})();
