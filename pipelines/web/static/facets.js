// The left side: what values there are, how many episodes have each, and ranges of numbers.

import { bars, ends, histogram } from "./charts.js";
import { find, make, words } from "./tools.js";

const LABELS = { demo: "source demo", store: "store", action_source: "actions", instruction: "sentence" };
// The names of axes stay as filters want them.
export const label = (field) => LABELS[field] ?? (field.startsWith("ledger.") ? field.slice(7) : words(field));

export class Facets {
  /** `state` holds the filter; its methods change it. */
  constructor(element, state) { Object.assign(this, { element, state, extra: new Set() }); }

  show(summary, axes) {
    const focus = document.activeElement, back = focus && this.element.contains(focus) ? [focus.dataset.field, focus.dataset.value] : null;
    const sections = summary.facets.map((facet) => this.section(label(facet.field), bars(facet, this.state.all(facet.field), (value) => this.state.toggle(facet.field, value), { compact: true })));
    for (const range of summary.ranges) sections.push(this.range(range));
    sections.push(this.adder(axes, summary));
    const top = this.element.scrollTop;
    this.element.replaceChildren(...sections);
    this.element.scrollTop = top;
    if (back?.[0]) [...this.element.querySelectorAll("button.value")].find((b) => b.dataset.field === back[0] && b.dataset.value === back[1])?.focus();
  }

  section(title, ...children) { return make("section", { class: "facet" }, make("h3", {}, title), ...children); }

  range(data) {
    if (data.kind === "texts") return this.section(label(data.field), bars(data, this.state.all(data.field), (value) => this.state.toggle(data.field, value), { compact: true }));
    const chosen = (low, high) => this.state.range(data.field, low, high);
    return this.section(label(data.field), histogram(data, chosen, { height: 44, label: label(data.field) }), ends(data, this.state.all(data.field)[0], chosen));
  }

  adder(axes, summary) {
    if (!summary.progress.ready) return this.section("what was drawn", make("p", { class: "quiet" }, `being read: ${Math.round(100 * summary.progress.share)} %`));
    if (!axes.length) return this.section("what was drawn", make("p", { class: "quiet" }, "nothing differs between episodes"));
    const list = find("axes");
    if (list.children.length !== axes.length) list.replaceChildren(...axes.map((value) => make("option", { value })));
    const input = make("input", { type: "search", placeholder: "e.g. physics.table_friction", "aria-label": "Filter by what was drawn", spellcheck: false });
    input.setAttribute("list", "axes");
    input.addEventListener("change", () => { if (axes.includes(input.value)) this.state.draw(input.value); });
    return this.section("what was drawn", input, make("p", { class: "quiet" }, `${axes.length === 1 ? "one value differs" : `${axes.length} values differ`} between episodes; Distributions shows all`));
  }
}
