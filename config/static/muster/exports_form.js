// Shows a field only where it belongs: data-when="kind=sftp&login=password" stands on the field or a section.
"use strict";
(() => {
  const form = document.querySelector("form[id$=_form]");
  if (!form) return;

  const valueOf = (name) => {
    const field = form.elements[name];
    if (!field) return null;
    return field.type === "checkbox" ? (field.checked ? "on" : "") : field.value;
  };
  const holds = (condition) => [...new URLSearchParams(condition)].every(([name, wanted]) => {
    const value = valueOf(name);
    return value === null || wanted.split("|").includes(value);
  });

  // The whole line of a field: its label, its help and its errors go with it.
  const lineOf = (element) => element.closest(".field-line") || element.closest(".group, section, .form-row") || element;
  const conditional = () => [...document.querySelectorAll("[data-when]")].map((element) => ({
    line: element.matches("section, div") ? element : lineOf(element),
    condition: element.dataset.when,
  }));

  const draw = () => {
    for (const { line, condition } of conditional()) line.hidden = !holds(condition);
    // A heading without a line below it says nothing.
    for (const fieldset of form.querySelectorAll("fieldset.module")) {
      const lines = [...fieldset.querySelectorAll(".field-line")];
      if (lines.length) fieldset.hidden = lines.every((line) => line.hidden);
    }
  };
  form.addEventListener("change", draw);
  draw();
})();
