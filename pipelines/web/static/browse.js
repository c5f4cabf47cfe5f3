// The data set browser. The address after # holds the filter, the episode and the moment: it can be sent to somebody.

import { bars, ends, histogram, map } from "./charts.js";
import { Facets, label } from "./facets.js";
import { List } from "./list.js";
import { Player, SPEEDS } from "./player.js";
import { Plots } from "./plots.js";
import { ask, duration, find, make, OUTCOME_TAG, post, ranges, short, whole, words } from "./tools.js";

const TABS = ["episodes", "attempts", "distributions", "coverage"];
let dataset = null, summary = null, turn = 0, opening = 0, stopper = null, opened = null, tab = "episodes", marks = new Set();
let axes = [], place = { outcome: "", failed: false, start: 0 }, search = "";

// ---- the filter, and the address that holds it

const state = {
  filter: new URLSearchParams(),
  all(field) { return this.filter.getAll(field).filter((value) => value !== ".."); },
  toggle(field, value) {
    const values = this.all(field), kept = values.includes(value) ? values.filter((v) => v !== value) : [...values, value];
    this.filter.delete(field);
    kept.forEach((v) => this.filter.append(field, v));
    apply();
  },
  range(field, low, high) {
    const text = (v) => (typeof v === "number" ? String(Number(v.toPrecision(6))) : v.trim());
    const [from, to] = [text(low), text(high)];
    this.filter.delete(field);
    if (from || to) this.filter.set(field, `${from}..${to}`);
    apply();
  },
  draw(axis) { if (!this.filter.has(axis)) this.filter.set(axis, ".."); apply(); },
  drop(field) { this.filter.delete(field); apply(); },
};

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1)), filter = new URLSearchParams();
  for (const [name, value] of given) if (!name.startsWith("_")) filter.append(name, value);
  state.filter = filter;
  find("sort").value = given.get("_sort") ?? "episode";
  if (find("sort").selectedIndex < 0) find("sort").value = "episode";
  const number = (name) => (/^\d{1,9}$/.test(given.get(name) ?? "") ? Number(given.get(name)) : null);
  return { episode: number("_episode"), step: number("_step") ?? 0, tab: TABS.includes(given.get("_view")) ? given.get("_view") : "episodes" };
}

function writeAddress() {
  const wanted = new URLSearchParams(state.filter);
  if (find("sort").value !== "episode") wanted.set("_sort", find("sort").value);
  if (tab !== "episodes") wanted.set("_view", tab);
  if (opened) wanted.set("_episode", opened.episode);
  if (opened && player.at > 0) wanted.set("_step", player.at);
  const hash = wanted.size ? `#${wanted}` : location.pathname;
  if (hash !== location.hash) history.replaceState(null, "", hash);
}

let writing = 0;
function remember() { clearTimeout(writing); writing = setTimeout(writeAddress, 250); }

// ---- the parts of the page

const plots = new Plots(find("plots"), (step) => { player.pause(); player.seek(step); });
const player = new Player(plots, remember);
const list = new List(find("list"), () => `${state.filter}&_sort=${find("sort").value}`, (row) => open(row.episode), (episode) => marks.has(episode));
const facets = new Facets(find("facets"), state);

/** Ask for what the filter leaves, and show it; answers that a newer filter has overtaken are dropped. */
async function apply(episode = opened?.episode ?? null) {
  const mine = (turn += 1), began = performance.now();
  const where = state.filter.get("where") ?? "";
  if (document.activeElement !== find("where") || find("where").value.trim() === where) find("where").value = where;
  remember();
  chips();
  try {
    const position = episode === null ? "" : `&_find=${episode}`;
    const [facts, rows] = await Promise.all([ask("/api/summary", state.filter), ask("/api/episodes", `${state.filter}&_sort=${find("sort").value}&_start=0&_count=100${position}`)]);
    if (mine !== turn) return;
    summary = facts;
    find("where-error").hidden = true;
    list.reset(rows);
    showSummary();
    document.body.dataset.filterMs = (performance.now() - began).toFixed(1);
    document.body.dataset.matching = facts.matching;
    if (tab !== "episodes") showTab();
    watch();
  } catch (error) {
    if (mine !== turn) return;
    find("where-error").textContent = error.message;
    find("where-error").hidden = false;
    if (/still being read/.test(error.message)) setTimeout(() => { if (mine === turn) apply(episode); }, 700);
  }
}

function showSummary() {
  const { matching, episodes, steps, seconds } = summary;
  const text = matching === episodes ? `all ${whole(episodes)} episodes` : `${whole(matching)} of ${whole(episodes)} episodes`;
  find("matching").textContent = `${text} · ${whole(steps)} steps · ${duration(seconds)}`;
  find("none").hidden = matching > 0;
  facets.show(summary, axes);
  const { ready, share, problem } = summary.progress;
  find("progress").hidden = ready && !problem;
  find("progress").textContent = problem ? `damaged: ${problem}` : `reading what was drawn: ${Math.round(100 * share)} %`;
  find("progress").className = problem ? "tag bad figure" : "tag warn figure";
  document.body.dataset.ready = ready;
}

/** While what was drawn is being read, look again now and then. */
let watching = 0;
function watch() {
  clearTimeout(watching);
  if (summary.progress.ready) { if (!axes.length) learn(); return; }
  const mine = turn;
  watching = setTimeout(async () => {
    const facts = await ask("/api/summary", state.filter).catch(() => null);
    if (facts && mine === turn) {
      summary = facts;
      if (facts.progress.ready) await learn();
      showSummary();
      list.draw();
      if (facts.progress.ready && tab !== "episodes") showTab();
    }
    if (mine === turn) watch();
  }, 800);
}

async function learn() {
  axes = (await ask("/api/dataset")).axes;
  if (axes.length) facets.show(summary, axes);
}

function chips() {
  const parts = [];
  for (const field of new Set(state.filter.keys())) {
    if (field === "where") continue;
    const values = state.filter.getAll(field), text = values.map((v) => words(v).replace("..", " to ")).join(" or ");
    const chip = make("button", { type: "button", "aria-label": `Drop the filter ${label(field)} ${text}` }, `${label(field)}: ${text.trim() === "to" ? "any" : text}`);
    chip.addEventListener("click", () => state.drop(field));
    parts.push(chip);
  }
  find("chips").replaceChildren(...parts);
  find("clear").hidden = state.filter.size === 0;
}

// ---- one episode

async function open(episode, step = 0) {
  const mine = (opening += 1);
  stopper?.abort();
  stopper = new AbortController();
  const { signal } = stopper;
  player.close();
  plots.clear();
  opened = { episode };
  find("nothing").hidden = true;
  find("opened").hidden = false;
  find("episode-error").hidden = true;
  find("contacts-note").textContent = "";
  find("provenance").replaceChildren();
  showMark();
  remember();
  try {
    const [detail, data] = await Promise.all([ask(`/api/episodes/${episode}`, "", signal), ask(`/api/episodes/${episode}/series`, "", signal)]);
    if (mine !== opening) return;
    opened = detail;
    find("playing").hidden = false;
    title(detail);
    plots.show(data);
    player.open(detail, data, dataset.pictures, step);
    provenance(detail);
    const broken = [...Object.values(data.damaged), detail.problem].filter(Boolean);
    if (broken.length) damaged(broken.join(" "));
    document.body.dataset.opened = episode;
    if (dataset.pictures === "drawn" || dataset.keys.includes("state")) await contacts(episode, signal, mine);
    else find("contacts-note").textContent = "Contacts are not known: there are no states to work them out from.";
  } catch (error) {
    if (error.name === "AbortError" || mine !== opening) return;
    find("instruction").textContent = `Episode ${episode}`;
    find("tags").replaceChildren(make("span", { class: "tag bad" }, "damaged"));
    find("playing").hidden = true;
    damaged(error.message);
    document.body.dataset.opened = episode;
  }
}

function damaged(message) { find("episode-error").textContent = message; find("episode-error").hidden = false; }

async function contacts(episode, signal, mine) {
  try {
    const found = await ask(`/api/episodes/${episode}/contacts`, "", signal);
    if (mine === opening) { plots.add(found); document.body.dataset.contacts = episode; }
  } catch (error) {
    if (error.name !== "AbortError" && mine === opening) find("contacts-note").textContent = `Contacts are not known: ${error.message}`;
  }
}

function title(detail) {
  find("instruction").textContent = detail.instruction;
  const tag = (text, kind = "tag") => make("span", { class: kind }, text);
  find("tags").replaceChildren(tag(`episode ${detail.episode}`), tag(words(detail.outcome), OUTCOME_TAG(detail.outcome)), tag(detail.task), tag(detail.domain), tag(`by ${detail.operator}`), tag(`scene ${detail.scene}`),
    tag(`${detail.seconds.toFixed(1)} s`), ...(detail.attempts > 1 ? [tag(`${detail.attempts} attempts`, "tag warn")] : []));
}

function showMark() {
  const out = opened && marks.has(opened.episode);
  find("exclude").setAttribute("aria-pressed", String(Boolean(out)));
  find("exclude").firstChild.textContent = out ? "Excluded " : "Exclude ";
  find("save").firstChild.textContent = marks.size ? `Save view: ${marks.size} excluded ` : "Save view ";
  document.body.dataset.marks = marks.size;
}

function mark() {
  if (!opened) return;
  if (marks.has(opened.episode)) marks.delete(opened.episode); else marks.add(opened.episode);
  keepMarks();
  find("announce").textContent = marks.has(opened.episode) ? `Episode ${opened.episode} excluded` : `Episode ${opened.episode} kept`;
}

function keepMarks() {
  try { localStorage.setItem(`handful-marks-${dataset.digest}`, JSON.stringify([...marks])); } catch { /* not kept beyond this page */ }
  showMark();
  list.draw();
}

function provenance(detail) {
  const { meta, segments, sources, ledger, chain } = detail;
  const row = (name, ...value) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, ...value));
  const rate = meta.control_rate, parts = [];
  if (segments.length) {
    const total = segments.reduce((sum, s) => sum + s.stop - s.start, 0);
    const replayed = segments.reduce((sum, s) => sum + (s.demo < 0 ? 0 : s.stop - s.start), 0);
    const rows = segments.map((s) => {
      const source = sources[s.demo], jump = make("button", { class: "link figure" }, `${(s.start / rate).toFixed(1)} to ${(s.stop / rate).toFixed(1)} s`);
      jump.addEventListener("click", () => { player.pause(); player.seek(s.start); });
      const where = s.demo < 0 ? "bridge" : `demo ${s.demo}${source ? `: episode ${source.episode}, by ${source.operator}` : ""}`;
      return make("tr", {}, make("td", {}, jump), make("td", {}, where), make("td", { class: "figure" }, s.demo < 0 ? "-" : `${s.first} to ${s.last}`),
        make("td", {}, s.demo < 0 ? "" : source && source.set !== null && source.set !== undefined ? "at hand" : "not at hand"));
    });
    parts.push(make("section", {}, make("h3", {}, `Where its motion came from: ${Math.round((100 * replayed) / total)} % replays a demo`),
      make("table", {}, make("thead", {}, make("tr", {}, ...["time", "from", "steps of the demo", ""].map((name) => make("th", { scope: "col" }, name)))), make("tbody", {}, ...rows))));
  }
  const attempts = chain.length ? make("span", { class: "chain" }, ...chain.map((outcome) => make("span", { class: OUTCOME_TAG(outcome) }, words(outcome)))) : `${detail.attempts}`;
  const stored = [row("attempts at the scene", attempts), row("outcome", `${words(detail.outcome)}: ${dataset.outcomes[detail.outcome] ?? ""}`), row("seed", `${meta.seeds.seed ?? "-"}, ${meta.seeds.namespace ?? "-"}, attempt ${meta.seeds.attempt ?? "-"}`),
    row("actions", meta.action_source), row("control", `${rate} Hz, ${whole(detail.steps)} steps`), row("robot", meta.embodiment),
    row("versions", Object.entries(meta.versions).map(([name, value]) => `${name} ${value}`).join(", ") || "-"), row("model", meta.model_hash ? meta.model_hash.slice(0, 16) : "-"),
    row("stored in", `${detail.store.path}, episode ${detail.store.episode} (part ${detail.part[0]}, ${detail.part[1]})`)];
  parts.push(make("section", {}, make("h3", {}, "How it was made"), make("table", {}, make("tbody", {}, ...stored))));
  parts.push(make("details", {}, make("summary", {}, "Random streams, sentences and everything else"), make("pre", {}, JSON.stringify({ seeds: meta.seeds, paraphrases: meta.paraphrases, extra: meta.extra, cameras: meta.cameras, gl_renderer: meta.gl_renderer }, null, 1))));
  if (ledger.length) parts.push(ledgerTable(ledger));
  else parts.push(make("p", { class: "missing" }, "Nothing was drawn, or it was not recorded."));
  find("provenance").replaceChildren(...parts);
}

/** What was drawn: those values first that differ between episodes, each with its place in the data set's range. */
function ledgerTable(ledger) {
  const differs = ({ axis, extent }) => (extent ? extent[0] < extent[1] : axes.includes(axis));
  const row = ({ axis, value, extent }) => {
    const bar = make("div", { class: "place" });
    if (extent && extent[0] < extent[1]) bar.style.setProperty("--at", `${(100 * (value - extent[0])) / (extent[1] - extent[0])}%`);
    const name = make("button", { class: "link", title: "Filter by it" }, axis.slice(7));
    name.addEventListener("click", () => state.draw(axis));
    return make("tr", {}, make("th", { scope: "row" }, differs({ axis, extent }) ? name : axis.slice(7)), make("td", { class: "figure" }, typeof value === "number" ? short(value) : String(value)),
      make("td", {}, extent && extent[0] < extent[1] ? bar : ""), make("td", { class: "figure quiet" }, extent ? (extent[0] < extent[1] ? `${short(extent[0])} to ${short(extent[1])}` : "the same in all") : ""));
  };
  const head = () => make("thead", {}, make("tr", {}, ...["drawn", "here", "", "in the data set"].map((name) => make("th", { scope: "col" }, name))));
  const some = ledger.filter(differs), rest = ledger.filter((entry) => !differs(entry));
  const section = make("section", {}, make("h3", {}, `What was drawn: ${some.length || ledger.length} values${some.length ? " that differ between episodes" : ""}`));
  const table = (entries) => make("table", {}, head(), make("tbody", {}, ...entries.map(row)));
  if (some.length) section.append(make("details", {}, make("summary", {}, "Show them"), table(some)));
  if (rest.length) section.append(make("details", {}, make("summary", {}, `${rest.length} ${some.length ? "more, the same in all" : "values"}`), table(rest)));
  return section;
}

// ---- the other views

function choose(name) {
  tab = name;
  for (const other of TABS) {
    find(other).hidden = other !== name;
    find(`tab-${other}`).setAttribute("aria-selected", String(other === name));
    find(`tab-${other}`).tabIndex = other === name ? 0 : -1;
  }
  remember();
  if (name !== "episodes") { player.pause(); showTab(); } else list.draw();
}

async function showTab() {
  const mine = turn, name = tab;
  try {
    if (name === "attempts") await showAttempts(mine);
    if (name === "distributions") await showDistributions(mine);
    if (name === "coverage") await showCoverage(mine);
    document.body.dataset.view = name;
  } catch (error) {
    if (mine === turn) find(name).replaceChildren(make("p", { class: "error" }, error.message));
  }
}

const reading = (progress) => (progress.ready ? null : make("p", { class: "missing" }, `Still being read: ${Math.round(100 * progress.share)} %.`));

async function showAttempts(mine) {
  const wanted = new URLSearchParams({ _start: place.start, _count: 50, ...(place.outcome ? { _outcome: place.outcome } : {}), ...(place.failed ? { _failed: 1 } : {}) });
  const found = await ask("/api/attempts", wanted);
  if (mine !== turn || tab !== "attempts") return;
  const pick = (change) => { place = { ...place, start: 0, ...change }; showTab(); };
  const outcomes = found.outcomes.map(({ outcome, scenes, attempts }) => {
    const name = make("button", { class: "value", "aria-pressed": String(place.outcome === outcome) }, make("span", { class: "name" }, words(outcome)));
    name.addEventListener("click", () => pick({ outcome: place.outcome === outcome ? "" : outcome }));
    const see = make("button", { class: "link" }, "episodes");
    see.addEventListener("click", () => { state.filter = new URLSearchParams({ outcome }); choose("episodes"); apply(); });
    const held = summary.facets.find((f) => f.field === "outcome")?.values.some((v) => v.value === outcome);
    return make("tr", { "aria-selected": String(place.outcome === outcome) }, make("td", {}, name), make("td", { class: "figure" }, whole(scenes)), make("td", { class: "figure" }, whole(attempts)),
      make("td", { class: "quiet" }, dataset.outcomes[outcome] ?? ""), make("td", {}, held ? see : ""));
  });
  const failed = make("input", { type: "checkbox", checked: place.failed });
  failed.addEventListener("change", () => pick({ failed: failed.checked }));
  const rows = found.rows.map(({ scene, attempts, steps, episode, dumped }) => {
    const link = make("button", { class: "link figure" }, `episode ${episode}`);
    link.addEventListener("click", () => go(episode));
    return make("tr", {}, make("td", { class: "figure" }, String(scene)), make("td", {}, make("span", { class: "chain" }, ...attempts.map((outcome) => make("span", { class: OUTCOME_TAG(outcome) }, words(outcome))))),
      make("td", { class: "figure" }, steps === null ? "-" : whole(steps)), make("td", {}, episode === null ? (dumped ? "none; states dumped" : "none") : link));
  });
  const last = Math.min(found.matching, place.start + found.rows.length);
  const before = make("button", { disabled: place.start === 0 }, "Earlier"), after = make("button", { disabled: last >= found.matching }, "Later");
  before.addEventListener("click", () => { place.start = Math.max(0, place.start - 50); showTab(); });
  after.addEventListener("click", () => { place.start += 50; showTab(); });
  const head = (...names) => make("thead", {}, make("tr", {}, ...names.map(([name, figure]) => make("th", { scope: "col", class: figure ? "figure" : "" }, name))));
  find("attempts").replaceChildren(make("h2", {}, "What became of every scene that was tried"), reading(found.progress) ?? "",
    make("p", { class: "quiet lead" }, found.scenes ? `${whole(found.attempts)} attempts at ${whole(found.scenes)} scenes. An attempt that failed left no episode, only its outcome; a scene is tried again until it succeeds or the plan's number of attempts is spent. The filter above does not apply here.` : "No record of scenes."),
    make("div", { class: "halves" },
      make("div", {}, make("table", {}, head(["outcome"], ["scenes ended so", true], ["attempts", true], ["it means"], [""]), make("tbody", {}, ...outcomes))),
      make("div", {}, make("label", { class: "tools" }, failed, "only scenes that gave no episode"),
        make("table", {}, head(["scene", true], ["attempts, in order"], ["steps", true], ["gave"]), make("tbody", {}, ...rows)),
        make("div", { class: "pager" }, before, after, make("span", { class: "quiet figure" }, found.matching ? `${whole(place.start + 1)} to ${whole(last)} of ${whole(found.matching)} scenes` : "none")))));
}

async function showDistributions(mine) {
  const found = await ask("/api/distributions", `${state.filter}&_search=${encodeURIComponent(search)}`);
  if (mine !== turn || tab !== "distributions") return;
  const cards = found.axes.map((data) => {
    if (data.kind === "texts" || data.values) return make("div", { class: "card" }, make("h3", {}, label(data.field)), bars({ ...data, values: data.values.slice(0, 8), more: data.more + Math.max(0, data.values.length - 8) }, state.all(data.field), (value) => state.toggle(data.field, value)));
    const chosen = (low, high) => state.range(data.field, low, high);
    return make("div", { class: "card" }, make("h3", {}, label(data.field)), histogram(data, chosen, { label: label(data.field) }), ends(data, state.all(data.field)[0], chosen));
  });
  const box = make("input", { type: "search", value: search, placeholder: "name of an axis", "aria-label": "Only axes whose name holds this", id: "search" });
  box.addEventListener("change", () => { search = box.value.trim(); showTab(); });
  find("distributions").replaceChildren(make("h2", {}, "How episodes differ"), reading(found.progress) ?? "",
    make("div", { class: "tools" }, box, make("span", { class: "quiet figure" }, `${whole(found.axes.length)} of ${whole(found.names)} shown. Grey: all ${whole(found.episodes)} episodes; blue: the ${whole(found.matching)} that match. Drag over bars to filter.`)),
    make("div", { class: "small" }, ...cards));
}

async function showCoverage(mine) {
  const found = await ask("/api/coverage", state.filter);
  if (mine !== turn || tab !== "coverage") return;
  const cards = found.maps.map((data) => make("div", { class: "card" }, make("h3", {}, `${words(data.name)}: ${whole(data.matching)} of ${whole(data.there)}`),
    map(data, ([x0, x1], [y0, y1]) => {
      if (!data.x_axis) return;
      const text = (v) => String(Number(v.toFixed(4)));
      state.filter.set(data.x_axis, `${text(x0)}..${text(x1)}`);
      state.filter.set(data.y_axis, `${text(y0)}..${text(y1)}`);
      apply();
    }, go),
    ...(data.x_axis ? [["x", data.x_axis, data.extent.slice(0, 2)], ["y", data.y_axis, data.extent.slice(2)]] : []).map(([axis, field, edges]) => make("div", { class: "tools" }, make("span", { class: "quiet" }, `${axis} [m]`), ends({ field, extent: edges }, state.all(field)[0], (low, high) => state.range(field, low, high)))),
    data.x_axis ? "" : make("p", { class: "quiet" }, data.there < found.episodes ? `at the first step of ${whole(data.there)} episodes, evenly spread` : "at the first step"),
    data.dots.length < data.matching ? make("p", { class: "quiet" }, `${whole(data.dots.length)} of them drawn, evenly spread`) : ""));
  const none = found.maps.length === 0 && found.progress.ready ? make("p", { class: "missing" }, "Nothing says where objects started: neither ledgers nor object poses.") : "";
  find("coverage").replaceChildren(make("h2", {}, "Where objects started, seen from above"), reading(found.progress) ?? "",
    make("p", { class: "quiet lead" }, `Blue: episodes that match; grey: the others. ${found.maps.some((m) => m.x_axis) ? "Drag a box to filter by it; click" : "Click"} a dot to open its episode.${found.maps.some((m) => !m.x_axis) ? " What was drawn does not say where objects started, so it cannot be filtered by." : ""}`), make("div", { class: "maps" }, ...cards), none);
}

/** Show an episode in the list of episodes, whatever view this is. */
async function go(episode) {
  choose("episodes");
  await open(episode);
  await apply(episode);
}

// ---- saving views

function showSave() {
  const filtered = summary.matching < summary.episodes;
  find("save-what").textContent = marks.size ? `${whole(marks.size)} of ${whole(summary.episodes)} episodes are excluded: ${ranges(marks).replaceAll(",", ", ").slice(0, 300)}.` : "No episode is excluded. Mark some with x.";
  const [all, filter] = find("save-form").querySelectorAll("input[type=radio]");
  filter.disabled = !filtered;
  (filtered && !marks.size ? filter : all).checked = true;
  find("save-where").textContent = `A view refers to these episodes and copies none. It is saved into ${dataset.views}.${filtered ? ` Filter: ${summary.where}` : ""}`;
  find("save-error").hidden = find("saved").hidden = true;
  if (!find("save-dialog").open) find("save-dialog").showModal();
  find("save-name").select();
}

async function save() {
  const scope = find("save-form").querySelector("input[name=scope]:checked").value;
  find("save-error").hidden = find("saved").hidden = true;
  try {
    const made = await post("/api/views", { name: find("save-name").value.trim(), query: scope === "filter" ? String(state.filter) : "", exclude: ranges(marks) });
    find("saved-text").textContent = `Saved: ${whole(made.episodes)} episodes.`;
    find("saved-commands").textContent = `handful inspect ${quoted(made.path)}\nhandful train --data ${quoted(made.path)} --out runs/mine`;
    find("saved").hidden = false;
    document.body.dataset.saved = made.path;
  } catch (error) {
    find("save-error").textContent = error.message;
    find("save-error").hidden = false;
  }
}

const quoted = (path) => (/^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);

// ---- controls

for (const speed of SPEEDS) find("speed").append(make("option", { value: String(speed), selected: speed === 1 }, `${speed}×`));
find("play").addEventListener("click", () => player.toggle());
find("back").addEventListener("click", () => player.step(-1));
find("on").addEventListener("click", () => player.step(1));
find("speed").addEventListener("change", ({ target }) => player.setSpeed(Number(target.value)));
find("loop").addEventListener("click", () => player.setLoop(!player.loop));
find("beside").addEventListener("click", () => player.compare(!player.beside));
find("exclude").addEventListener("click", mark);
find("sort").addEventListener("change", () => apply());
find("save").addEventListener("click", showSave);
find("save-form").addEventListener("submit", (event) => { event.preventDefault(); save(); });
find("save-close").addEventListener("click", () => find("save-dialog").close());
find("save-none").addEventListener("click", () => { marks.clear(); keepMarks(); showSave(); });
find("help").addEventListener("click", () => find("help-dialog").showModal());
find("help-close").addEventListener("click", () => find("help-dialog").close());
find("clear").addEventListener("click", () => { state.filter = new URLSearchParams(); find("where").value = ""; apply(); });
for (const name of TABS) find(`tab-${name}`).addEventListener("click", () => choose(name));

let typing = 0;
function typed() {
  clearTimeout(typing);
  const text = find("where").value.trim();
  if (text === (state.filter.get("where") ?? "")) return;
  if (text) state.filter.set("where", text); else state.filter.delete("where");
  apply();
}
find("where").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(typed, 400); });
find("filter").addEventListener("submit", (event) => { event.preventDefault(); typed(); if (!find("list").hidden) find("list").focus(); });
addEventListener("hashchange", () => { const { episode, step, tab: name } = readAddress(); choose(name); apply(episode); if (episode !== null && episode !== opened?.episode) open(episode, step); else if (episode !== null) player.seek(step); });

const KEYS = [
  [["j", "k"], "next, previous episode", { j: () => list.step(1), k: () => list.step(-1), ArrowDown: () => list.step(1), ArrowUp: () => list.step(-1), PageDown: () => list.step(Math.floor(list.rows)), PageUp: () => list.step(-Math.floor(list.rows)) }],
  [["Space"], "play, pause", { " ": () => player.toggle() }],
  [["←", "→"], "one step back, on; with Shift ten", { ArrowLeft: (e) => player.step(e.shiftKey ? -10 : -1), ArrowRight: (e) => player.step(e.shiftKey ? 10 : 1) }],
  [["Home", "End"], "first, last step", { Home: () => player.step(-1e9), End: () => player.step(1e9) }],
  [["[", "]"], "slower, faster", { "[": () => player.faster(-1), "]": () => player.faster(1) }],
  [["l"], "play again and again", { l: () => player.setLoop(!player.loop) }],
  [["d"], "beside its source demo, in step", { d: () => player.compare(!player.beside) }],
  [["x"], "exclude this episode, or take it back", { x: mark }],
  [["s"], "save a view", { s: showSave }],
  [["/"], "write a filter; Enter or Esc leaves it", { "/": () => find("where").select() }],
  [["c"], "clear the filter", { c: () => find("clear").click() }],
  [["1", "2", "3", "4"], "episodes, attempts, distributions, coverage", Object.fromEntries(TABS.map((name, i) => [String(i + 1), () => choose(name)]))],
  [["?"], "this help", { "?": () => find("help-dialog").showModal() }],
];
const BY_KEY = Object.assign({}, ...KEYS.map(([, , acts]) => acts));
const PLAYING = new Set([" ", "ArrowLeft", "ArrowRight", "Home", "End", "[", "]", "l", "d", "x"]);
find("keys").append(make("tbody", {}, ...KEYS.map(([caps, text]) => make("tr", {}, make("td", {}, ...caps.flatMap((cap) => [make("kbd", {}, cap), " "])), make("td", {}, text)))));

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || find("save-dialog").open || find("help-dialog").open || !summary) return;
  const { target, key } = event;
  if (key === "Escape" && target.matches("input, select")) { target.blur(); find("list").focus(); return; }
  // A control that has the focus keeps the keys that it lives by.
  if (target.matches("input:not([type=range]):not([type=checkbox]), select, textarea")) return;
  if (target.matches("button, summary, input") && (key === " " || key === "Enter")) return;
  if (target.matches("input[type=range]") && /^(Arrow|Home|End|Page)/.test(key)) return;
  if (target.matches("[role=tab]") && /^Arrow(Left|Right)$/.test(key)) {
    choose(TABS[(TABS.indexOf(tab) + (key === "ArrowRight" ? 1 : TABS.length - 1)) % TABS.length]);
    find(`tab-${tab}`).focus();
    event.preventDefault();
    return;
  }
  if (tab !== "episodes" && (PLAYING.has(key) || /^(Arrow|Page)/.test(key) || key === "j" || key === "k")) return;
  const act = BY_KEY[key];
  if (!act || (event.repeat && !/^(Arrow|Page|j|k)/.test(key))) return;
  event.preventDefault();
  act(event);
});

// ---- the beginning

async function start() {
  try {
    dataset = await ask("/api/dataset");
  } catch (error) {
    find("name").textContent = "This data set cannot be shown";
    find("where-error").textContent = error.message;
    find("where-error").hidden = false;
    return;
  }
  axes = dataset.axes;
  find("name").textContent = dataset.name;
  document.title = `${dataset.name}: browse`;
  const cameras = Object.entries(dataset.cameras).map(([name, [height, width]]) => `${name} ${width}×${height}`).join(", ");
  const seen = dataset.pictures === "stored" ? cameras : dataset.pictures === "drawn" ? "pictures drawn from states" : "no pictures";
  find("facts").textContent = `${dataset.kind} · ${whole(dataset.episodes)} episodes · ${whole(dataset.steps)} steps · ${dataset.finished ? "finished" : "unfinished: as it was when this page was started"} · ${seen}`;
  try { marks = new Set(JSON.parse(localStorage.getItem(`handful-marks-${dataset.digest}`) ?? "[]").filter((e) => Number.isInteger(e) && e >= 0 && e < dataset.episodes)); } catch { marks = new Set(); }
  showMark();
  const { episode, step, tab: name } = readAddress();
  choose(name);
  await apply(episode);
  if (episode !== null && episode < dataset.episodes) await open(episode, step);
  document.body.dataset.loaded = "true";
}
start();
