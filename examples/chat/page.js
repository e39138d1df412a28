"use strict";

const byId = (id) => document.getElementById(id);
const MOST_ITEMS = 500;
const LONGEST_DELAY = 30_000;
// A connection that has lasted for so long was none that fails at once.
const LASTING = 5_000;

let room, name; // where, and as whom
let socket; // the current one; none while nothing is to be connected
let timer, attempts = 0;
let since; // of the room: its numbers count from there
let isWelcome = false; // on the current connection
let people = new Map(); // of each name: the number of the last event about it, and whether it is here

// Connecting, and coming back.

function connect() {
  clearTimeout(timer);
  const url = new URL(`rooms/${encodeURIComponent(room)}?name=${encodeURIComponent(name)}`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const mine = socket = new WebSocket(url);
  const begun = Date.now();
  isWelcome = false;
  show("connecting");
  mine.onmessage = (message) => {
    if (mine === socket) take(JSON.parse(message.data));
  };
  mine.onclose = (event) => {
    if (mine !== socket) return; // left meanwhile
    // 1008: it would be refused again.
    if (event.code === 1008) return leave(event.reason);
    if (Date.now() - begun > LASTING) attempts = 0;
    // By chance up to twice as soon, so that not all come back at once.
    const delay = Math.min(LONGEST_DELAY, 500 * 2 ** attempts++) * (1 - Math.random() / 2);
    show(navigator.onLine ? "coming back" : "offline");
    timer = setTimeout(connect, delay);
  };
}

function disconnect() {
  clearTimeout(timer);
  const old = socket;
  socket = undefined;
  old?.close();
}

// Somebody may be waiting for the network, or for this page to be looked at again.
function hurry() {
  if (socket?.readyState === WebSocket.CLOSED) {
    attempts = 0;
    connect();
  }
}
addEventListener("online", hurry);
document.addEventListener("visibilitychange", () => document.hidden || hurry());

function show(state) {
  byId("state").textContent = state;
  byId("state").className = state;
  byId("send").disabled = state !== "open";
}

// Events of the room.

function take(event) {
  // What comes before the welcome is in it.
  if (!isWelcome && event.type !== "welcome") return;
  switch (event.type) {
    case "welcome": return welcome(event);
    case "said": return addSaid(event);
    case "joined": return addPresence(event, true);
    case "left": return addPresence(event, false);
  }
}

function welcome({ since: began, id, people: here, history }) {
  const log = byId("log");
  log.setAttribute("aria-busy", "true"); // nobody wants all of it read out
  if (since !== began && log.children.length) addItem(note("The room was opened anew"));
  since = began;
  isWelcome = true;
  history.forEach(addSaid);
  log.setAttribute("aria-busy", "false");
  people = new Map(here.map((name) => [name, { id, isHere: true }]));
  showPeople();
  show("open");
}

function addSaid({ id, at, name, text }) {
  const item = document.createElement("li"), time = document.createElement("time");
  const words = document.createElement("p");
  time.dateTime = new Date(at).toISOString();
  time.textContent = new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  words.textContent = text;
  item.append(nameOf(name), " ", time, words);
  addItem(item, id);
}

function addPresence({ id, name }, isHere) {
  if ((people.get(name)?.id ?? 0) >= id) return; // older than what is known
  people.set(name, { id, isHere });
  showPeople();
  const item = note(isHere ? " joined" : " left");
  item.prepend(nameOf(name));
  addItem(item, id);
}

function showPeople() {
  const here = [...people].filter(([, { isHere }]) => isHere).map(([name]) => name).sort();
  byId("here").textContent = here.length === 1 ? "1 person" : `${here.length} people`;
  byId("people").replaceChildren(...here.map((name) => {
    const item = document.createElement("li");
    item.append(nameOf(name));
    return item;
  }));
}

function note(text) {
  const item = document.createElement("li");
  item.className = "note";
  item.append(text);
  return item;
}

// Only ever as text, whatever is in it.
function nameOf(name) {
  const element = document.createElement("span");
  element.className = "name";
  element.textContent = name;
  const hue = [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
  element.style.setProperty("--hue", hue);
  return element;
}

// In the order of the numbers, and each once: events of two shards may overtake each other, and those of a welcome
// may have been here already.
function addItem(item, id) {
  const log = byId("log");
  const isCurrent = (other) => other?.dataset.since === String(since);
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  let before = log.lastElementChild;
  if (id !== undefined) {
    item.dataset.id = id;
    item.dataset.since = since;
    while (isCurrent(before) && Number(before.dataset.id) > id) before = before.previousElementSibling;
    if (isCurrent(before) && Number(before.dataset.id) === id) return;
  }
  if (before) before.after(item);
  else log.prepend(item);
  while (log.children.length > MOST_ITEMS) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

// Entering and leaving. The room stands in the address, the name is this tab's.

function enter() {
  disconnect();
  room = decodeHash();
  name = sessionStorage.getItem("name");
  byId("room").value = room || "lobby";
  byId("name").value = name ?? "";
  if (!room || !name) return leave("");
  byId("why").textContent = "";
  byId("log").replaceChildren();
  byId("title").textContent = document.title = room;
  people = new Map();
  showPeople();
  attempts = 0;
  since = undefined;
  toggle(true);
  connect();
}

function leave(why) {
  disconnect();
  document.title = "Chat";
  byId("why").textContent = why;
  toggle(false);
}

function toggle(isInside) {
  byId("chat").hidden = !isInside;
  byId("entry").hidden = isInside;
  byId(isInside ? "text" : "name").focus();
}

function decodeHash() {
  try {
    return decodeURIComponent(location.hash.slice(1)).trim();
  } catch {
    return "";
  }
}

byId("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  const hash = "#" + encodeURIComponent(byId("room").value.trim());
  sessionStorage.setItem("name", byId("name").value.trim());
  if (location.hash === hash) enter();
  else location.hash = hash; // which enters
});

byId("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (text && socket?.readyState === WebSocket.OPEN) {
    socket.send(text);
    byId("text").value = "";
  }
});

byId("leave").addEventListener("click", () => {
  sessionStorage.removeItem("name");
  leave("");
});
addEventListener("hashchange", enter);
enter();
