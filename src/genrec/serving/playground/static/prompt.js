// Shows a rendered prompt: tokens of each block, messages, the end of the cached prefix, what was dropped.

import { make, plural } from "./dom.js";

const SHOWN_TAILS = 100;

export function promptView(prompt) {
  const parts = [tokenTable(prompt)];
  if (prompt.dropped.length) {
    const notes = prompt.dropped.map((note) => make("li", {}, `${note.input}: ${note.count} (${note.reason})`));
    parts.push(make("h4", { class: "dropped" }, "Dropped or shortened"), make("ul", { class: "dropped-list" }, ...notes));
  }
  let marked = prompt.cached === 0;
  for (const [index, message] of prompt.messages.entries()) {
    const last = prompt.messages.length - 1 === index;
    const ends = !marked && (message.cached < message.text.length || last);
    marked ||= ends;
    parts.push(messageView(message, ends ? prompt.cached : null));
  }
  if (prompt.tails.length) parts.push(tailsView(prompt.tails));
  return parts;
}

function tokenTable(prompt) {
  const blocks = Object.entries(prompt.tokens);
  const most = Math.max(1, ...blocks.map(([, count]) => count));
  const rows = blocks.map(([name, count], index) => {
    const bar = make("span", { class: `share block-${index % 6}` });
    bar.style.width = `${(100 * count) / most}%`;
    return make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "number" }, String(count)), make("td", {}, bar));
  });
  const total = (name, text) =>
    make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "number", colspan: "2" }, text));
  return make(
    "table",
    { class: "tokens" },
    make("caption", { class: "hidden-text" }, "Tokens of each block"),
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Block"), make("th", { scope: "col", class: "number" }, "Tokens"), make("td"))),
    make("tbody", {}, ...rows),
    make(
      "tfoot",
      {},
      total(prompt.tails.length ? "longest prompt" : "whole prompt", `${prompt.longest} of ${prompt.limit}`),
      total("cached prefix", plural(prompt.cached, "token")),
    ),
  );
}

function messageView(message, cachedTokens) {
  const text = make("pre");
  if (message.cached) text.append(make("span", { class: "cached" }, message.text.slice(0, message.cached)));
  if (cachedTokens !== null) {
    text.append(make("span", { class: "prefix-end" }, `the cached prefix ends here, after ${plural(cachedTokens, "token")}`));
  }
  text.append(message.text.slice(message.cached));
  const title = make("h4", {}, make("span", { class: "role" }, message.role), make("span", {}, plural(message.tokens, "token")));
  return make("article", { class: "message-box", "aria-label": `message of the role ${message.role}` }, title, text);
}

function tailsView(tails) {
  const shown = tails.slice(0, SHOWN_TAILS).map((tail) => make("div", { class: "tail" }, make("pre", {}, tail)));
  const more = tails.length > SHOWN_TAILS ? make("p", { class: "note" }, `and ${tails.length - SHOWN_TAILS} more`) : null;
  const what = `${plural(tails.length, "tail")} behind the cached prefix, one for each candidate`;
  return make("details", { class: "tails", open: tails.length <= 3 ? "" : null }, make("summary", {}, what), ...shown, more);
}
