// Copy buttons, and Get tag: draws the tag anew at every change of the form.
"use strict";
(() => {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      const label = button.querySelector("[data-label]");
      const before = label.textContent;
      label.textContent = (await copied(source)) ? "Copied" : "Press Ctrl+C";
      setTimeout(() => { label.textContent = before; }, 2000);
    });
  }

  async function copied(source) {
    try {
      await navigator.clipboard.writeText(source.textContent);
      return true;
    } catch {
      // Over plain http browsers have no clipboard for scripts: select it, so that the keys do it.
      const range = document.createRange();
      range.selectNodeContents(source);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      return document.execCommand("copy");
    }
  }

  const form = document.getElementById("tag-form");
  if (!form) return;

  const query = () => new URLSearchParams(new FormData(form));

  const show = (tag) => {
    document.getElementById("tag-html").textContent = tag.html;
    document.getElementById("tag-url").textContent = tag.url;
    const hints = document.getElementById("tag-hints");
    hints.replaceChildren(...tag.hints.map((hint) => {
      const line = document.createElement("li");
      line.textContent = hint;
      return line;
    }));
  };

  const mirror = () => {
    for (const input of document.querySelectorAll("[data-mirror]")) {
      const value = query().get(input.name);
      if (value !== null) input.value = value;
    }
    for (const link of document.querySelectorAll("[data-download]")) {
      const wanted = query();
      wanted.set("as", link.dataset.download);
      link.href = `?${wanted}`;
    }
  };

  let newest = 0;
  form.addEventListener("change", async () => {
    mirror();
    const mine = ++newest;
    const wanted = query();
    wanted.set("as", "json");
    const answer = await fetch(`?${wanted}`, { headers: { Accept: "application/json" } });
    // An answer that was overtaken by a later change is not shown.
    if (answer.ok && mine === newest) show(await answer.json());
  });
  mirror();
})();
