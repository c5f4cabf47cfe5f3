// The list of episodes: as long as the data set, with only the rows that are seen in the page.

import { ask, make, OUTCOME_TAG, words } from "./tools.js";

const ROW = 54, BLOCK = 100, TALLEST = 6e6, KEPT = 40;

export class List {
  /** `parameters()` gives the filter as a query string; `opened(row, position)` is called when a row is chosen. */
  constructor(element, parameters, opened, marked) {
    Object.assign(this, { element, parameters, opened, marked });
    this.spacer = make("div", { class: "spacer" });
    this.layer = make("div", { class: "layer" });
    element.append(this.spacer, this.layer);
    this.total = 0;
    this.chosen = -1;
    this.blocks = new Map();
    this.asked = new Map();
    this.generation = 0;
    element.addEventListener("scroll", () => this.plan());
    element.addEventListener("click", (event) => {
      const row = event.target.closest("[data-position]");
      if (row) this.choose(Number(row.dataset.position));
    });
    new ResizeObserver(() => this.plan()).observe(element);
  }

  /** Start anew with another filter; `first` is the answer that holds the rows from `first.start` on. */
  reset(first) {
    this.generation += 1;
    this.blocks.clear();
    this.asked.clear();
    this.total = first.matching;
    const height = Math.min(this.total * ROW, TALLEST);
    this.spacer.style.height = `${height}px`;
    this.take(first);
    this.chosen = first.position ?? -1;
    if (this.chosen < 0) this.element.scrollTop = 0; else this.show(this.chosen);
    this.draw();
  }

  take(answer) {
    if (answer.start % BLOCK === 0) this.blocks.set(answer.start / BLOCK, answer.rows);
    for (const block of this.blocks.keys()) {
      if (this.blocks.size <= KEPT) break;
      if (block !== answer.start / BLOCK) this.blocks.delete(block);
    }
  }

  /** The block that holds a row; asked for once. */
  load(position) {
    const block = Math.floor(position / BLOCK), generation = this.generation;
    if (this.blocks.has(block)) return Promise.resolve(this.blocks.get(block));
    if (!this.asked.has(block)) {
      const asked = ask("/api/episodes", `${this.parameters()}&_start=${block * BLOCK}&_count=${BLOCK}`).then((answer) => {
        if (generation !== this.generation) return null;
        this.take(answer);
        return answer.rows;
      });
      this.asked.set(block, asked);
      asked.catch(() => {}).finally(() => { if (generation === this.generation) this.asked.delete(block); });
    }
    return this.asked.get(block);
  }

  async choose(position) {
    if (position < 0 || position >= this.total) return;
    this.chosen = position;
    this.show(position);
    this.draw();
    const rows = await this.load(position);
    if (rows && this.chosen === position) this.opened(rows[position % BLOCK], position);
  }

  step(by) { return this.choose(this.chosen < 0 ? 0 : Math.max(0, Math.min(this.total - 1, this.chosen + by))); }

  get rows() { return this.element.clientHeight / ROW; }
  get scaled() { return this.total * ROW > TALLEST; }

  /** First row that is seen, with its fraction. */
  get first() {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    if (!this.scaled) return scrollTop / ROW;
    return (scrollTop / Math.max(1, scrollHeight - clientHeight)) * (this.total - this.rows);
  }

  show(position) {
    const first = this.first;
    if (position >= first && position + 1 <= first + this.rows) return;
    const wanted = Math.max(0, position < first ? position : position + 1 - this.rows);
    const { scrollHeight, clientHeight } = this.element;
    this.element.scrollTop = this.scaled ? (wanted / (this.total - this.rows)) * (scrollHeight - clientHeight) : wanted * ROW;
  }

  plan() {
    if (this.planned) return;
    this.planned = true;
    requestAnimationFrame(() => { this.planned = false; this.draw(); });
  }

  draw() {
    const first = this.first, start = Math.max(0, Math.floor(first)), stop = Math.min(this.total, Math.ceil(first + this.rows));
    const items = [];
    for (let position = start; position < stop; position += 1) {
      const row = this.blocks.get(Math.floor(position / BLOCK))?.[position % BLOCK];
      const item = row ? this.item(row, position) : make("div", { class: "item waiting" }, "...");
      item.style.transform = `translateY(${this.element.scrollTop + (position - first) * ROW}px)`;
      items.push(item);
      if (!row) this.load(position).then((rows) => { if (rows) this.plan(); }).catch(() => {});
    }
    this.layer.replaceChildren(...items);
    if (this.chosen >= start && this.chosen < stop) this.element.setAttribute("aria-activedescendant", `row-${this.chosen}`);
    else this.element.removeAttribute("aria-activedescendant");
  }

  item(row, position) {
    const out = this.marked(row.episode);
    const tags = make("span", { class: "tags" });
    if (row.damaged) tags.append(make("span", { class: "tag bad" }, "damaged"));
    if (out) tags.append(make("span", { class: "tag warn" }, "excluded"));
    if (row.outcome !== "success") tags.append(make("span", { class: OUTCOME_TAG(row.outcome) }, words(row.outcome)));
    if (row.attempts > 1) tags.append(make("span", { class: "tag" }, `${row.attempts} attempts`));
    const item = make("div", { id: `row-${position}`, class: `item${out ? " out" : ""}`, role: "option", "data-position": position, "data-episode": row.episode,
      "aria-selected": String(position === this.chosen), "aria-setsize": this.total, "aria-posinset": position + 1 },
    make("span", { class: "number figure" }, String(row.episode)),
    make("span", { class: "sentence" }, row.instruction),
    make("span", { class: "quiet facts figure" }, `${row.seconds.toFixed(1)} s · ${row.domain} · scene ${row.scene}`), tags);
    return item;
  }
}
