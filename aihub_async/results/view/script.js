"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (id) => document.getElementById(id);
  const docs = all(".doc");
  const fields = all(".field");
  const boxes = new Map();
  for (const box of all("rect[data-f]")) {
    boxes.set(box.dataset.f, [...(boxes.get(box.dataset.f) ?? []), box]);
  }

  // Pictures are decoded when they come near the screen, and all of them before printing.
  const show = (image) => {
    if (image.dataset.src) {
      image.src = image.dataset.src;
      delete image.dataset.src;
    }
  };
  const near = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) {
          show(entry.target);
          near.unobserve(entry.target);
        }
      }
    },
    { rootMargin: "1200px" },
  );
  const pictures = all("img[data-src]");
  pictures.forEach((image) => near.observe(image));
  addEventListener("beforeprint", () => pictures.forEach(show));

  let current = null;
  const mark = (id, on) => {
    one(id)?.classList.toggle("on", on);
    boxes.get(id)?.forEach((box) => box.classList.toggle("on", on));
  };
  const select = (id) => {
    if (id === current) return;
    if (current) mark(current, false);
    current = id;
    if (id) mark(id, true);
  };
  const target = (event) => event.target.closest?.("[data-f]")?.dataset.f ?? null;
  // Only the list of fields itself scrolls, or the page when the field is outside of the screen.
  const reveal = (element) => element?.scrollIntoView({ block: "nearest", behavior: "auto" });
  addEventListener("mouseover", (event) => {
    const id = target(event);
    if (id) select(id);
    if (id && event.target.tagName === "rect") {
      const list = one(id).parentElement;
      const row = one(id).getBoundingClientRect();
      const frame = list.getBoundingClientRect();
      if (row.top < frame.top || row.bottom > frame.bottom) list.scrollTop += row.top - frame.top - frame.height / 3;
    }
  });
  addEventListener("mouseout", (event) => {
    if (target(event) && !event.relatedTarget?.closest?.("[data-f]")) select(null);
  });
  addEventListener("focusin", (event) => {
    const id = target(event);
    if (id) select(id);
  });
  addEventListener("click", (event) => {
    const id = target(event);
    if (!id) return;
    select(id);
    reveal(event.target.tagName === "rect" ? one(id) : boxes.get(id)?.[0]);
  });

  const search = one("search");
  const kind = one("class");
  const limit = one("limit");
  const problems = one("problems");
  const filter = () => {
    const words = search.value.trim().toLowerCase();
    const below = Number(limit.value) / 100;
    const onlyProblems = problems.getAttribute("aria-pressed") === "true";
    one("limit-text").textContent = below >= 1 ? "any" : `${limit.value} %`;
    let shown = 0;
    for (const doc of docs) {
      const ofClass = kind.value === "" || doc.dataset.class === kind.value;
      const inTitle = doc.dataset.file.toLowerCase().includes(words);
      let visible = 0;
      for (const field of all(".field", doc)) {
        const score = field.dataset.score;
        const hit =
          (!words || inTitle || field.textContent.toLowerCase().includes(words)) &&
          (!onlyProblems || field.dataset.problem !== undefined) &&
          (below >= 1 || score === undefined || Number(score) < below);
        field.hidden = !hit;
        boxes.get(field.id)?.forEach((box) => (box.style.display = hit ? "" : "none"));
        visible += hit;
      }
      const problem = doc.dataset.problem !== undefined;
      const whole = !words && !onlyProblems && below >= 1;
      const hidden = !ofClass || !(whole || visible > 0 || (onlyProblems && problem && !words) || (words && inTitle));
      doc.hidden = hidden;
      shown += !hidden;
    }
    one("none").hidden = shown > 0;
  };
  for (const control of [search, kind, limit]) control.addEventListener("input", filter);
  const toggle = () => {
    problems.setAttribute("aria-pressed", String(problems.getAttribute("aria-pressed") !== "true"));
    filter();
  };
  problems.addEventListener("click", toggle);

  const step = (candidates, direction) => {
    const visible = candidates.filter((field) => !field.hidden && !field.closest(".doc").hidden);
    if (!visible.length) return;
    const here = visible.findIndex((field) => field.id === current);
    const from = here < 0 ? (direction > 0 ? -1 : 0) : here;
    const next = visible[(from + direction + visible.length) % visible.length];
    next.scrollIntoView({ block: "center", behavior: "auto" });
    next.focus({ preventScroll: true });
    // Beside the pages both are in view; below each other the field is what was looked for.
    if (matchMedia("(min-width: 901px)").matches) reveal(boxes.get(next.id)?.[0]);
    select(next.id);
  };
  const withProblem = fields.filter((field) => field.dataset.problem !== undefined);
  one("next").addEventListener("click", () => step(withProblem, 1));
  const root = document.documentElement;
  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const theme = () => (root.dataset.theme = isDark() ? "light" : "dark");
  one("theme").addEventListener("click", theme);

  const keys = {
    n: () => step(withProblem, 1),
    p: () => step(withProblem, -1),
    j: () => step(fields, 1),
    k: () => step(fields, -1),
    f: toggle,
    t: theme,
    "/": () => search.focus(),
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      event.target.blur?.();
      select(null);
      return;
    }
    if (event.target.matches?.("input, select, textarea") || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  root.dataset.ready = "";
})();
